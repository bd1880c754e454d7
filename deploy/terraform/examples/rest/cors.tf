# Browsers ask before they send a token, without one: preflight has no authorizer, reaches no backend, and says what is allowed.

locals {
  preflight = { orders = aws_api_gateway_resource.orders.id, order = aws_api_gateway_resource.order.id }
}

resource "aws_api_gateway_method" "preflight" {
  for_each = local.preflight

  rest_api_id   = aws_api_gateway_rest_api.orders.id
  resource_id   = each.value
  http_method   = "OPTIONS"
  authorization = "NONE"
}

resource "aws_api_gateway_integration" "preflight" {
  for_each = local.preflight

  rest_api_id       = aws_api_gateway_rest_api.orders.id
  resource_id       = each.value
  http_method       = aws_api_gateway_method.preflight[each.key].http_method
  type              = "MOCK"
  request_templates = { "application/json" = "{\"statusCode\":200}" }
}

resource "aws_api_gateway_method_response" "preflight" {
  for_each = local.preflight

  rest_api_id = aws_api_gateway_rest_api.orders.id
  resource_id = each.value
  http_method = aws_api_gateway_method.preflight[each.key].http_method
  status_code = "200"

  response_parameters = {
    "method.response.header.Access-Control-Allow-Headers" = true
    "method.response.header.Access-Control-Allow-Methods" = true
    "method.response.header.Access-Control-Allow-Origin"  = true
  }
}

resource "aws_api_gateway_integration_response" "preflight" {
  for_each = local.preflight

  rest_api_id = aws_api_gateway_rest_api.orders.id
  resource_id = each.value
  http_method = aws_api_gateway_method.preflight[each.key].http_method
  status_code = aws_api_gateway_method_response.preflight[each.key].status_code

  response_parameters = {
    "method.response.header.Access-Control-Allow-Headers" = "'authorization,content-type'"
    "method.response.header.Access-Control-Allow-Methods" = "'GET,POST'"
    "method.response.header.Access-Control-Allow-Origin"  = "'https://app.example.com'"
  }

  depends_on = [aws_api_gateway_integration.preflight]
}
