locals {
  token = var.function.token_query == null ? "route.request.header.Authorization" : "route.request.querystring.${var.function.token_query}"
}

resource "aws_apigatewayv2_authorizer" "this" {
  api_id           = var.api_id
  name             = var.name
  authorizer_type  = "REQUEST"
  authorizer_uri   = var.function.invoke_arn
  identity_sources = var.identity_sources == null ? [local.token] : var.identity_sources
}

# Without it every connection is answered with 500. For this one authorizer of this one API.
resource "aws_lambda_permission" "this" {
  statement_id  = "verdict-${var.api_id}-${var.name}"
  action        = "lambda:InvokeFunction"
  function_name = var.function.name
  qualifier     = var.function.alias
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${var.execution_arn}/authorizers/${aws_apigatewayv2_authorizer.this.id}"
}

# Made here, so that no WebSocket API can use this module and leave its door open.
resource "aws_apigatewayv2_route" "connect" {
  api_id             = var.api_id
  route_key          = "$connect"
  target             = "integrations/${var.connect_integration_id}"
  authorization_type = "CUSTOM"
  authorizer_id      = aws_apigatewayv2_authorizer.this.id

  depends_on = [aws_lambda_permission.this]
}
