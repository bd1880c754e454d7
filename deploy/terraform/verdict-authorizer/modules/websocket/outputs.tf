output "authorizer_id" {
  description = "Id of the authorizer."
  value       = aws_apigatewayv2_authorizer.this.id
}

output "connect_route_id" {
  description = "Id of the $connect route, for a deployment to depend on."
  value       = aws_apigatewayv2_route.connect.id
}

output "access_log_format" {
  description = "Format for the stage's access log: what was answered and why, with the decision's id, and without the query and the token."
  value = jsonencode({
    request_id         = "$context.requestId"
    time               = "$context.requestTimeEpoch"
    route              = "$context.routeKey"
    event              = "$context.eventType"
    stage              = "$context.stage"
    connection_id      = "$context.connectionId"
    status             = "$context.status"
    authorizer_error   = "$context.authorizer.error"
    authorizer_status  = "$context.authorizer.status"
    authorizer_latency = "$context.authorizer.latency"
    decision_id        = "$context.authorizer.verdict_decision_id"
    principal          = "$context.authorizer.verdict_principal"
    error              = "$context.error.responseType"
  })
}
