variable "region" {
  description = "Region of the API and the function."
  type        = string
  default     = "eu-west-1"
}

variable "package" {
  description = "The authorizer's package, made by `make lambda`."
  type        = string
  default     = "../../../../dist/verdict-authorizer-arm64.zip"
}

variable "verdict_target" {
  description = "verdict's decision service, as the function reaches it."
  type        = string
}

variable "vpc" {
  description = "Subnets and security groups from which verdict can be reached; null: it is reached without."
  type = object({
    subnet_ids         = set(string)
    security_group_ids = set(string)
  })
  default = null
}

variable "backend_url" {
  description = "Where the orders service is, without a slash at the end."
  type        = string

  validation {
    condition     = startswith(var.backend_url, "https://") && !endswith(var.backend_url, "/")
    error_message = "backend_url is https://host, without a slash at the end."
  }
}
