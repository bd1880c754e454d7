# A WebSocket API. verdict is asked once, when a client connects (in verdict the route is GET /$connect of the api); what it says
# afterwards on the connection is not asked about, and connections last up to two hours.

resource "aws_apigatewayv2_api" "live" {
  name                       = "live-orders"
  protocol_type              = "WEBSOCKET"
  route_selection_expression = "$request.body.action"
}

module "verdict" {
  source = "../../verdict-authorizer"

  package  = var.package
  verdict  = { target = var.verdict_target, sts_audience = "https://verdict.example.com" }
  gateways = { live = { api_id = aws_apigatewayv2_api.live.id, verdict_api = "live-orders" } }
  vpc      = var.vpc

  # Browsers cannot set headers on a WebSocket.
  token_query = "token"
}

module "authorizer" {
  source = "../../verdict-authorizer/modules/websocket"

  api_id                 = aws_apigatewayv2_api.live.id
  execution_arn          = aws_apigatewayv2_api.live.execution_arn
  function               = module.verdict.function
  connect_integration_id = aws_apigatewayv2_integration.accept.id
}

# Accepts who was let in. Put your own integration here, and on the route below, to do something with the messages.
resource "aws_apigatewayv2_integration" "accept" {
  api_id                        = aws_apigatewayv2_api.live.id
  integration_type              = "MOCK"
  template_selection_expression = "200"
  request_templates             = { "200" = "{\"statusCode\":200}" }
}

# Routes beside $connect have no authorizer: only those who came in by it can send on the connection.
resource "aws_apigatewayv2_route" "default" {
  api_id    = aws_apigatewayv2_api.live.id
  route_key = "$default"
  target    = "integrations/${aws_apigatewayv2_integration.accept.id}"
}

resource "aws_apigatewayv2_deployment" "live" {
  api_id = aws_apigatewayv2_api.live.id

  triggers = {
    redeploy = sha1(jsonencode([module.authorizer.connect_route_id, module.authorizer.authorizer_id, aws_apigatewayv2_route.default]))
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_apigatewayv2_stage" "prod" {
  api_id        = aws_apigatewayv2_api.live.id
  name          = "prod"
  deployment_id = aws_apigatewayv2_deployment.live.id

  default_route_settings {
    throttling_burst_limit = 100
    throttling_rate_limit  = 50
  }
}
