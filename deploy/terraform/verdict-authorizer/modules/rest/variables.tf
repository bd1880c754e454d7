variable "rest_api_id" {
  description = "Id of the REST API."
  type        = string
}

variable "execution_arn" {
  description = "Execution ARN of the REST API."
  type        = string
}

variable "name" {
  description = "Name of the authorizer."
  type        = string
  default     = "verdict"
}

variable "function" {
  description = "Output `function` of the module verdict-authorizer."
  type = object({
    name        = string
    alias       = string
    invoke_arn  = string
    mode        = string
    answer      = string
    cache_ttl_s = number
  })

  validation {
    condition     = var.function.answer == "iam"
    error_message = "REST APIs take policies: the function's answer must be iam."
  }

  validation {
    condition     = var.function.cache_ttl_s >= 0 && var.function.cache_ttl_s <= 3600
    error_message = "The gateway keeps answers for 0 to 3600 seconds."
  }

  validation {
    condition     = var.function.cache_ttl_s == 0 || var.function.mode == "grant-set"
    error_message = "A policy for one method that is kept refuses every other: the function's mode must be grant-set, or its cache_ttl_s 0."
  }
}

variable "type" {
  description = "`REQUEST`: the function sees address, headers and host. `TOKEN`: the token, method and path alone, so that verdict needs `verdict_api` and conditions on the address match nothing."
  type        = string
  default     = "REQUEST"

  validation {
    condition     = contains(["REQUEST", "TOKEN"], var.type)
    error_message = "Type is REQUEST or TOKEN."
  }
}

variable "identity_sources" {
  description = "What an answer is kept under, and what must be there for the function to be asked at all."
  type        = list(string)
  default     = ["method.request.header.Authorization"]

  validation {
    condition     = var.function.cache_ttl_s == 0 || contains(var.identity_sources, "method.request.header.Authorization")
    error_message = "Answers that are kept need the identity source method.request.header.Authorization: otherwise one caller's answer is another's."
  }

  validation {
    condition     = var.type == "REQUEST" || length(var.identity_sources) == 1
    error_message = "A TOKEN authorizer has one identity source, the header with the token."
  }
}

variable "cors_origin" {
  description = "Origin whose pages may read refusals, such as https://app.example.com, or *; null: none. Preflight (OPTIONS) methods are yours to make, without authorizer."
  type        = string
  default     = null

  validation {
    condition     = var.cors_origin == null ? true : can(regex("^(\\*|https?://[A-Za-z0-9.-]+(:[0-9]+)?)$", var.cors_origin))
    error_message = "cors_origin is * or an origin: scheme, host and port, without a path."
  }
}

variable "gateway_responses" {
  description = "Whether this module sets the API's answers to refused callers; false when they are set elsewhere."
  type        = bool
  default     = true
}
