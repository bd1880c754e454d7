output "authorizer_id" {
  description = "Id for the methods of the API: authorization = \"CUSTOM\", authorizer_id = this."
  # With the permission: a method must not answer 500 while it is still on its way.
  value      = aws_api_gateway_authorizer.this.id
  depends_on = [aws_lambda_permission.this]
}

output "redeploy" {
  description = "Changes when what is set here does: for the triggers of the API's deployment, which nothing takes effect without."
  value = sha1(jsonencode([
    aws_api_gateway_authorizer.this.id, aws_api_gateway_authorizer.this.authorizer_uri, aws_api_gateway_authorizer.this.identity_source,
    aws_api_gateway_authorizer.this.authorizer_result_ttl_in_seconds, aws_api_gateway_authorizer.this.type,
    [for r in aws_api_gateway_gateway_response.this : [r.response_type, r.status_code, r.response_parameters, r.response_templates]],
  ]))
}

output "access_log_format" {
  description = "Format for the stage's access log: what was answered and why, with the decision's id, and without the path, the query and the token."
  value = jsonencode({
    request_id         = "$context.requestId"
    time               = "$context.requestTimeEpoch"
    route              = "$context.resourcePath"
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
