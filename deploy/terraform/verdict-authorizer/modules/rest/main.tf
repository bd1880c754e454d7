resource "aws_api_gateway_authorizer" "this" {
  rest_api_id     = var.rest_api_id
  name            = var.name
  type            = var.type
  authorizer_uri  = var.function.invoke_arn
  identity_source = join(",", var.identity_sources)

  # Said always: left out, it is 300 seconds.
  authorizer_result_ttl_in_seconds = var.function.cache_ttl_s
}

# Without it every request is answered with 500. For this one authorizer of this one API.
resource "aws_lambda_permission" "this" {
  statement_id  = "verdict-${var.rest_api_id}-${var.name}"
  action        = "lambda:InvokeFunction"
  function_name = var.function.name
  qualifier     = var.function.alias
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${var.execution_arn}/authorizers/${aws_api_gateway_authorizer.this.id}"
}

# Refusals come from the gateway and not from the backend, so what browsers need to read them has to be here too.
locals {
  cors = var.cors_origin == null ? {} : {
    "gatewayresponse.header.Access-Control-Allow-Origin"   = "'${var.cors_origin}'"
    "gatewayresponse.header.Access-Control-Expose-Headers" = "'WWW-Authenticate'"
  }

  # $context.error.messageString has its quotation marks.
  plain = "{\"title\":$context.error.messageString,\"request_id\":\"$context.requestId\"}"

  responses = {
    # The function was not asked, or said that it does not know the caller: neither tells why.
    UNAUTHORIZED = {
      status  = "401"
      headers = { "gatewayresponse.header.WWW-Authenticate" = "'Bearer'" }
      body    = "{\"title\":\"Unauthorized\",\"status\":401,\"request_id\":\"$context.requestId\"}"
    }
    # The decision's id leads to why, for those who may read the audit; the reason is one that the caller may know.
    ACCESS_DENIED = {
      status  = "403"
      headers = {}
      body    = "{\"title\":\"Forbidden\",\"status\":403,\"reason\":\"$context.authorizer.verdict_reason\",\"decision_id\":\"$context.authorizer.verdict_decision_id\",\"request_id\":\"$context.requestId\"}"
    }
    DEFAULT_4XX = { status = null, headers = {}, body = local.plain }
    DEFAULT_5XX = { status = null, headers = {}, body = local.plain }
  }
}

resource "aws_api_gateway_gateway_response" "this" {
  for_each = { for type, r in local.responses : type => r if var.gateway_responses }

  rest_api_id         = var.rest_api_id
  response_type       = each.key
  status_code         = each.value.status
  response_parameters = merge(local.cors, each.value.headers)
  response_templates  = { "application/json" = each.value.body }
}
