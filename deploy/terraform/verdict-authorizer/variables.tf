# What the function is told becomes its environment. The rules are those that the function applies when it starts, told at plan
# time. A rule about two variables stands with the one that looks at the other: Terraform lets them not look at each other.

variable "verdict" {
  description = "How to reach verdict. `target`: host:port of its decision service. `ca_file`, `cert_file`, `key_file`: names of files in `files_zip`. `server_name`: name in verdict's certificate, when it is not the host. `sts_audience`: the function shows verdict a token of AWS for this audience (no secret needed). `plaintext`: no TLS, for a mesh that encrypts. `timeout_s`: longest for a question. `idle_limit_s`: longest that an unused connection is trusted, below the load balancer's idle timeout."
  type = object({
    target       = string
    ca_file      = optional(string)
    cert_file    = optional(string)
    key_file     = optional(string)
    server_name  = optional(string)
    sts_audience = optional(string)
    plaintext    = optional(bool, false)
    timeout_s    = optional(number, 2)
    idle_limit_s = optional(number, 60)
  })

  validation {
    condition     = can(regex("^[^\\s/]+:[0-9]{1,5}$", var.verdict.target))
    error_message = "verdict.target is host:port, such as verdict.internal:7300."
  }

  validation {
    condition     = (var.verdict.cert_file == null) == (var.verdict.key_file == null)
    error_message = "Give verdict.cert_file and verdict.key_file, or neither."
  }

  validation {
    condition     = alltrue([for f in compact([var.verdict.ca_file, var.verdict.cert_file, var.verdict.key_file]) : can(regex("^[A-Za-z0-9._-]+$", f))])
    error_message = "ca_file, cert_file and key_file are names of files in files_zip, without a folder."
  }

  validation {
    condition     = length(compact([var.verdict.ca_file, var.verdict.cert_file, var.verdict.key_file])) == 0 || var.files_zip != null
    error_message = "ca_file, cert_file and key_file come from files_zip, which is not given."
  }

  validation {
    condition     = !var.verdict.plaintext || length(compact([var.verdict.ca_file, var.verdict.cert_file, var.verdict.server_name, var.verdict.sts_audience])) == 0
    error_message = "verdict.plaintext excludes what needs TLS: ca_file, cert_file, key_file, server_name, sts_audience."
  }

  validation {
    condition     = var.verdict.timeout_s >= 0.05 && var.verdict.timeout_s <= 9 && var.verdict.idle_limit_s >= 1 && var.verdict.idle_limit_s <= 3600
    error_message = "verdict.timeout_s is 0.05 to 9, verdict.idle_limit_s 1 to 3600."
  }
}

variable "gateways" {
  description = "The APIs that may ask, by any name. `api_id`: the gateway's id. `verdict_api`: what the API is called in verdict; left out of all of them, verdict finds it by host. `stage`: `verdict_api` is that of one stage."
  type = map(object({
    api_id      = string
    stage       = optional(string)
    verdict_api = optional(string)
  }))

  validation {
    condition     = length(var.gateways) > 0
    error_message = "Name at least one API: a function that answers any gateway of the account is a mistake."
  }

  validation {
    condition     = length(distinct([for g in var.gateways : g.verdict_api == null])) <= 1
    error_message = "Give verdict_api for all gateways or for none: once one is mapped, the function refuses those that are not."
  }

  validation {
    condition     = alltrue([for g in var.gateways : g.stage == null || g.verdict_api != null])
    error_message = "A stage is only of use beside verdict_api."
  }
}

variable "mode" {
  description = "`exact`: an answer for the one route asked about. `grant-set`: one for all routes that the caller may use, which the gateway may keep."
  type        = string
  default     = "exact"

  validation {
    condition     = contains(["exact", "grant-set"], var.mode)
    error_message = "Mode is exact or grant-set."
  }
}

variable "answer" {
  description = "`iam`: policies, which every kind of API understands. `simple`: yes or no, for HTTP APIs alone."
  type        = string
  default     = "iam"

  validation {
    condition     = contains(["iam", "simple"], var.answer)
    error_message = "Answer is iam or simple."
  }

  validation {
    condition     = var.mode != "grant-set" || var.answer == "iam"
    error_message = "grant-set answers are policies: set answer to iam. A simple answer says yes or no to everything."
  }
}

variable "cache_ttl_s" {
  description = "How long the gateway keeps an answer, in seconds, 0 to 3600; the authorizers of the modules below are set to the same. It adds to the time in which a revocation takes effect. verdict must run with a --decision-ttl of at least as long."
  type        = number
  default     = 0

  validation {
    condition     = var.cache_ttl_s >= 0 && var.cache_ttl_s <= 3600 && var.cache_ttl_s == floor(var.cache_ttl_s)
    error_message = "cache_ttl_s is whole seconds from 0 to 3600."
  }

  validation {
    condition     = var.cache_ttl_s == 0 || var.mode == "grant-set" || var.answer == "simple"
    error_message = "An exact policy that is kept refuses every other method and path: set cache_ttl_s to 0, or mode to grant-set."
  }

  validation {
    condition     = var.mode != "grant-set" || var.cache_ttl_s > 0
    error_message = "grant-set is for answers that are kept: set cache_ttl_s."
  }

  validation {
    condition     = var.cache_ttl_s == 0 || alltrue([for g in var.gateways : g.verdict_api != null])
    error_message = "The gateway applies what it keeps under each of its domain names, so verdict cannot find the API by host: give verdict_api, or set cache_ttl_s to 0."
  }
}

variable "gateway_routes" {
  description = "For grant-set. `declared`: the gateway has exactly the routes that verdict has; `any`: it may have others, such as {proxy+}."
  type        = string
  default     = "any"

  validation {
    condition     = contains(["any", "declared"], var.gateway_routes) && (var.gateway_routes == "any" || var.mode == "grant-set")
    error_message = "gateway_routes is any or declared, and declared only with mode grant-set."
  }
}

variable "policy_limit_bytes" {
  description = "Largest policy that is answered, in bytes; what would be larger is answered exactly, and not to be kept."
  type        = number
  default     = 6144

  validation {
    condition     = var.policy_limit_bytes >= 1024 && var.policy_limit_bytes <= 65536
    error_message = "policy_limit_bytes is 1024 to 65536."
  }
}

variable "base_path" {
  description = "Base path of a custom domain that the gateway leaves in the path, such as /orders; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.base_path == null ? true : startswith(var.base_path, "/") && !endswith(var.base_path, "/")
    error_message = "base_path begins with a slash and does not end in one."
  }
}

variable "token_query" {
  description = "Query parameter in which browsers send the token of a WebSocket connection; null: it comes in the Authorization header. Access logs of whatever is in front may hold it."
  type        = string
  default     = null

  validation {
    condition     = var.token_query == null ? true : can(regex("^[A-Za-z0-9_-]+$", var.token_query))
    error_message = "token_query is the name of a parameter: letters, digits, hyphens and underscores."
  }
}

variable "allow_test_invoke" {
  description = "Whether the console's test of an authorizer or method may be allowed; it comes without a stage."
  type        = bool
  default     = false
}

variable "usage_key" {
  description = "`principal`: the caller's id is the API key of usage plans (REST APIs whose API key source is AUTHORIZER). `none`: there is none."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "principal"], var.usage_key)
    error_message = "usage_key is none or principal."
  }
}

variable "context_name" {
  description = "Whether backends are told the caller's display name, which is personal data, as verdict_name."
  type        = bool
  default     = false
}

# The function itself.

variable "name" {
  description = "Name of the function, of its role, and the beginning of the names of what belongs to it."
  type        = string
  default     = "verdict-authorizer"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,48}$", var.name))
    error_message = "Use 1 to 48 letters, digits, hyphens and underscores."
  }
}

variable "package" {
  description = "Path of the zip that `make lambda` builds; of the same architecture as `architecture` says."
  type        = string

  validation {
    condition     = endswith(var.package, ".zip")
    error_message = "Give the path of a zip, such as dist/verdict-authorizer-arm64.zip."
  }
}

variable "architecture" {
  description = "Architecture of the package: `arm64` (cheaper) or `x86_64` (verdict-authorizer-amd64.zip)."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "Architecture is arm64 or x86_64."
  }

  # A binary of the other architecture fails at its first invocation and not before.
  validation {
    condition     = !endswith(var.package, var.architecture == "arm64" ? "-amd64.zip" : "-arm64.zip")
    error_message = "The package is named for the other architecture."
  }
}

variable "memory_mb" {
  description = "Memory in MB; the processor's share grows with it."
  type        = number
  default     = 256

  validation {
    condition     = var.memory_mb >= 128 && var.memory_mb <= 10240
    error_message = "Memory is 128 to 10240 MB."
  }
}

variable "timeout_s" {
  description = "Longest that an invocation may take, in seconds. Longer than `verdict.timeout_s`, so that the function answers itself; at most 10, which is what an HTTP API waits for."
  type        = number
  default     = 5

  validation {
    condition     = var.timeout_s == floor(var.timeout_s) && var.timeout_s <= 10
    error_message = "The timeout is whole seconds, at most 10."
  }

  validation {
    condition     = var.timeout_s >= var.verdict.timeout_s + 1
    error_message = "The timeout must be at least a second longer than verdict.timeout_s: a function that is cut off cannot say why."
  }
}

variable "reserved_concurrency" {
  description = "Invocations at a time that are kept for this function and that it cannot exceed; -1: those of the account. 0 would refuse every caller."
  type        = number
  default     = -1

  validation {
    condition     = var.reserved_concurrency == -1 || var.reserved_concurrency >= 1
    error_message = "Reserved concurrency is -1, or 1 or more; with 0 the gateway answers every request with 500."
  }
}

variable "provisioned_concurrency" {
  description = "Instances that are kept warm; 0: none."
  type        = number
  default     = 0

  validation {
    condition     = var.provisioned_concurrency >= 0 && (var.reserved_concurrency == -1 || var.provisioned_concurrency <= var.reserved_concurrency)
    error_message = "Provisioned concurrency is 0 or more, and no more than the reserved."
  }
}

variable "vpc" {
  description = "Subnets and security groups from which the function reaches verdict; null: it runs outside of any VPC."
  type = object({
    subnet_ids         = set(string)
    security_group_ids = set(string)
  })
  default = null

  validation {
    condition     = var.vpc == null ? true : length(var.vpc.subnet_ids) > 0 && length(var.vpc.security_group_ids) > 0
    error_message = "Give at least one subnet and one security group, or null."
  }
}

variable "files_zip" {
  description = "Path of a zip with PEM files, made by `go run ./deploy/lambda -files ca.pem`; the function finds each as /opt/NAME. null: none."
  type        = string
  default     = null
}

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of the function's role; null: none."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days that the function's log is kept. It says who was refused what; verdict's audit is elsewhere and does not depend on it."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch keeps logs for one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "log_kms_key_arn" {
  description = "ARN of the KMS key that encrypts the log; null: CloudWatch's own."
  type        = string
  default     = null
}

variable "alarms" {
  description = "Alarms. `actions`: ARNs told when one goes off and when it is over, such as an SNS topic. `p99_ms`: the slowest hundredth of invocations may take so long. `errors`, `undecided`: how many in 5 minutes are tolerated. null: no alarms."
  type = object({
    actions   = optional(set(string), [])
    p99_ms    = optional(number, 1000)
    errors    = optional(number, 0)
    undecided = optional(number, 0)
  })
  default = {}

  validation {
    condition     = var.alarms == null ? true : var.alarms.p99_ms > 0 && var.alarms.errors >= 0 && var.alarms.undecided >= 0
    error_message = "Thresholds are not negative, and p99_ms is more than 0."
  }
}

variable "tags" {
  description = "Tags of all that this module makes."
  type        = map(string)
  default     = {}
}
