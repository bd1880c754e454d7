variable "api_id" {
  description = "Id of the WebSocket API."
  type        = string
}

variable "execution_arn" {
  description = "Execution ARN of the WebSocket API, without a stage."
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
    answer      = string
    token_query = string
  })

  validation {
    condition     = var.function.answer == "iam"
    error_message = "WebSocket APIs take policies: the function's answer must be iam."
  }
}

variable "connect_integration_id" {
  description = "Integration of the $connect route, which this module makes: a connection is authorized there, once, and nowhere else."
  type        = string
}

variable "identity_sources" {
  description = "What must be there for the function to be asked at all. null: the function's token_query, or the Authorization header."
  type        = list(string)
  default     = null

  validation {
    condition     = var.identity_sources == null ? true : length(var.identity_sources) > 0
    error_message = "Name at least one identity source, or leave it out."
  }
}
