variable "api_id" {
  description = "Id of the HTTP API."
  type        = string
}

variable "execution_arn" {
  description = "Execution ARN of the HTTP API, without a stage."
  type        = string
}

variable "authorizers" {
  description = "Authorizers of the API, by the name that routes use. `function`: output of the module verdict-authorizer. `identity_sources`: null makes them from the routes; where answers are kept they must say all that an answer depends on."
  type = map(object({
    function = object({
      name        = string
      alias       = string
      invoke_arn  = string
      mode        = string
      answer      = string
      cache_ttl_s = number
    })
    identity_sources = optional(list(string))
  }))

  validation {
    condition     = length(var.authorizers) > 0
    error_message = "Give at least one authorizer."
  }

  validation {
    condition     = alltrue([for a in var.authorizers : a.function.cache_ttl_s >= 0 && a.function.cache_ttl_s <= 3600])
    error_message = "The gateway keeps answers for 0 to 3600 seconds."
  }

  # An exact policy that is kept answers for routes that it was not asked about.
  validation {
    condition     = alltrue([for a in var.authorizers : a.function.cache_ttl_s == 0 || a.function.answer == "simple" || a.function.mode == "grant-set"])
    error_message = "An authorizer whose answers are kept answers simple, or in mode grant-set."
  }

  validation {
    condition = alltrue([for a in var.authorizers :
      a.identity_sources == null ? true : a.function.cache_ttl_s == 0 || length(a.identity_sources) > 0
    ])
    error_message = "Answers that are kept need identity sources: without any, one caller's answer is everybody's."
  }

  validation {
    condition = alltrue([for a in var.authorizers :
      a.identity_sources == null ? true : a.function.cache_ttl_s == 0 || contains([for s in a.identity_sources : lower(s)], "$request.header.authorization")
    ])
    error_message = "Answers that are kept need the identity source $request.header.Authorization."
  }

  # A simple answer says yes or no to whatever has the same identity sources. A grant set says itself which routes it is for.
  validation {
    condition = alltrue([for a in var.authorizers :
      a.identity_sources == null ? true : a.function.cache_ttl_s == 0 || a.function.answer != "simple" || contains(a.identity_sources, "$context.routeKey")
    ])
    error_message = "Simple answers that are kept need the identity source $context.routeKey: the answer for one route would be that for all."
  }
}

variable "routes" {
  description = "All routes of the API by route key, such as `GET /orders/{id}`. `integration_id`: what serves it. Each names its `authorizer`, or says `public = true`; a route that says neither is refused."
  type = map(object({
    integration_id = string
    authorizer     = optional(string)
    public         = optional(bool, false)
    operation_name = optional(string)
  }))

  validation {
    condition     = alltrue([for key in keys(var.routes) : can(regex("^(\\$default|(ANY|GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /\\S*)$", key))])
    error_message = "A route key is a method and a path, such as GET /orders/{id}, or $default."
  }

  validation {
    condition     = alltrue([for r in var.routes : r.public == true ? r.authorizer == null : r.authorizer != null])
    error_message = "Each route names its authorizer, or says public = true, and not both."
  }

  validation {
    condition     = alltrue([for r in var.routes : r.authorizer == null ? true : contains(keys(var.authorizers), r.authorizer)])
    error_message = "A route names an authorizer that is not in authorizers."
  }

  # They take what no other route does, so what is public there is public unseen.
  validation {
    condition     = alltrue([for key, r in var.routes : !(r.public == true && (key == "$default" || endswith(key, "+}")))])
    error_message = "$default and routes that end in {name+} cannot be public: they take every path that is not listed, and variants of those that are."
  }
}
