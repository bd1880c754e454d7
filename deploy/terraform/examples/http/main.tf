# An HTTP API in front of a service for orders. Answers are yes or no and kept for 30 seconds, each for one caller and route;
# cancelling an order is asked every time.

resource "aws_apigatewayv2_api" "orders" {
  name          = "orders"
  protocol_type = "HTTP"

  # Preflight is answered by the gateway itself, so that no OPTIONS route without authorizer is needed.
  cors_configuration {
    allow_origins = ["https://app.example.com"]
    allow_methods = ["GET", "POST"]
    allow_headers = ["authorization", "content-type"]
    max_age       = 600
  }
}

module "kept" {
  source = "../../verdict-authorizer"

  name        = "verdict-authorizer-kept"
  package     = var.package
  verdict     = { target = var.verdict_target, sts_audience = "https://verdict.example.com" }
  gateways    = { orders = { api_id = aws_apigatewayv2_api.orders.id, verdict_api = "orders" } }
  vpc         = var.vpc
  answer      = "simple"
  cache_ttl_s = 30
}

module "exact" {
  source = "../../verdict-authorizer"

  name     = "verdict-authorizer-exact"
  package  = var.package
  verdict  = { target = var.verdict_target, sts_audience = "https://verdict.example.com" }
  gateways = { orders = { api_id = aws_apigatewayv2_api.orders.id, verdict_api = "orders" } }
  vpc      = var.vpc
  answer   = "simple"
}

module "authorizer" {
  source = "../../verdict-authorizer/modules/http"

  api_id        = aws_apigatewayv2_api.orders.id
  execution_arn = aws_apigatewayv2_api.orders.execution_arn

  authorizers = {
    kept  = { function = module.kept.function }
    exact = { function = module.exact.function }
  }

  routes = {
    "GET /orders"              = { integration_id = aws_apigatewayv2_integration.orders.id, authorizer = "kept" }
    "GET /orders/{id}"         = { integration_id = aws_apigatewayv2_integration.orders.id, authorizer = "kept" }
    "POST /orders/{id}/cancel" = { integration_id = aws_apigatewayv2_integration.orders.id, authorizer = "exact" }
    "GET /healthz"             = { integration_id = aws_apigatewayv2_integration.public.id, public = true }
    "$default"                 = { integration_id = aws_apigatewayv2_integration.orders.id, authorizer = "exact" }
  }
}

# The service learns from the gateway who the caller is, and must refuse requests without these headers. They are overwritten,
# so that no caller can say who it is.
resource "aws_apigatewayv2_integration" "orders" {
  api_id             = aws_apigatewayv2_api.orders.id
  integration_type   = "HTTP_PROXY"
  integration_method = "ANY"
  integration_uri    = var.backend_url

  request_parameters = {
    "overwrite:path"                       = "$request.path"
    "overwrite:header.x-verdict-principal" = "$context.authorizer.verdict_principal"
    "overwrite:header.x-verdict-decision"  = "$context.authorizer.verdict_decision_id"
  }
}

# Nobody was asked about these requests, so what they say of the caller is taken away.
resource "aws_apigatewayv2_integration" "public" {
  api_id             = aws_apigatewayv2_api.orders.id
  integration_type   = "HTTP_PROXY"
  integration_method = "ANY"
  integration_uri    = var.backend_url

  request_parameters = {
    "overwrite:path"                    = "$request.path"
    "remove:header.x-verdict-principal" = "''"
    "remove:header.x-verdict-decision"  = "''"
  }
}

resource "aws_apigatewayv2_stage" "prod" {
  api_id      = aws_apigatewayv2_api.orders.id
  name        = "$default"
  auto_deploy = true

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format          = module.authorizer.access_log_format
  }
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/aws/apigateway/orders"
  retention_in_days = 30
}
