output "authorizer_ids" {
  description = "Ids of the authorizers, by name."
  value       = { for name, a in aws_apigatewayv2_authorizer.this : name => a.id }
}

output "route_keys" {
  description = "Route keys, for a stage or deployment to depend on."
  value       = [for r in aws_apigatewayv2_route.this : r.route_key]
}

output "public_routes" {
  description = "Route keys that anybody may use."
  value       = sort([for key, r in var.routes : key if r.public])
}

output "access_log_format" {
  description = "Format for the stage's access log: what was answered and why, with the decision's id, and without the path, the query and the token."
  value = jsonencode({
    request_id         = "$context.requestId"
    time               = "$context.requestTimeEpoch"
    route              = "$context.routeKey"
    stage              = "$context.stage"
    method             = "$context.httpMethod"
    status             = "$context.status"
    latency_ms         = "$context.responseLatency"
    authorizer_error   = "$context.authorizer.error"
    authorizer_status  = "$context.authorizer.status"
    authorizer_latency = "$context.authorizer.latency"
    decision_id        = "$context.authorizer.verdict_decision_id"
    reason             = "$context.authorizer.verdict_reason"
    principal          = "$context.authorizer.verdict_principal"
    integration_error  = "$context.integrationErrorMessage"
    error              = "$context.error.responseType"
  })
}
