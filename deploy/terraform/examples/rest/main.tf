# A REST API in front of a service for orders. The function answers with all that the caller may do, and the gateway keeps that
# for 30 seconds: verdict is asked once for a caller that calls often.

resource "aws_api_gateway_rest_api" "orders" {
  name = "orders"

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

module "verdict" {
  source = "../../verdict-authorizer"

  package     = var.package
  verdict     = { target = var.verdict_target, sts_audience = "https://verdict.example.com" }
  gateways    = { orders = { api_id = aws_api_gateway_rest_api.orders.id, verdict_api = "orders" } }
  vpc         = var.vpc
  mode        = "grant-set"
  cache_ttl_s = 30

  # The resources below are those that verdict has for the api, and none of them is greedy.
  gateway_routes = "declared"
}

module "authorizer" {
  source = "../../verdict-authorizer/modules/rest"

  rest_api_id   = aws_api_gateway_rest_api.orders.id
  execution_arn = aws_api_gateway_rest_api.orders.execution_arn
  function      = module.verdict.function
  cors_origin   = "https://app.example.com"
}

resource "aws_api_gateway_resource" "orders" {
  rest_api_id = aws_api_gateway_rest_api.orders.id
  parent_id   = aws_api_gateway_rest_api.orders.root_resource_id
  path_part   = "orders"
}

resource "aws_api_gateway_resource" "order" {
  rest_api_id = aws_api_gateway_rest_api.orders.id
  parent_id   = aws_api_gateway_resource.orders.id
  path_part   = "{id}"
}

locals {
  methods = {
    "GET /orders"      = { method = "GET", resource = aws_api_gateway_resource.orders, parameters = [] }
    "POST /orders"     = { method = "POST", resource = aws_api_gateway_resource.orders, parameters = [] }
    "GET /orders/{id}" = { method = "GET", resource = aws_api_gateway_resource.order, parameters = ["id"] }
  }
}

resource "aws_api_gateway_method" "orders" {
  for_each = local.methods

  rest_api_id        = aws_api_gateway_rest_api.orders.id
  resource_id        = each.value.resource.id
  http_method        = each.value.method
  authorization      = "CUSTOM"
  authorizer_id      = module.authorizer.authorizer_id
  request_parameters = { for name in each.value.parameters : "method.request.path.${name}" => true }
}

# The service learns from the gateway who the caller is, and must refuse requests without these headers.
resource "aws_api_gateway_integration" "orders" {
  for_each = local.methods

  rest_api_id             = aws_api_gateway_rest_api.orders.id
  resource_id             = each.value.resource.id
  http_method             = aws_api_gateway_method.orders[each.key].http_method
  type                    = "HTTP_PROXY"
  integration_http_method = each.value.method
  uri                     = "${var.backend_url}${each.value.resource.path}"

  request_parameters = merge(
    { for name in each.value.parameters : "integration.request.path.${name}" => "method.request.path.${name}" },
    {
      "integration.request.header.x-verdict-principal" = "context.authorizer.verdict_principal"
      "integration.request.header.x-verdict-decision"  = "context.authorizer.verdict_decision_id"
    },
  )
}

resource "aws_api_gateway_deployment" "orders" {
  rest_api_id = aws_api_gateway_rest_api.orders.id

  # A REST API serves what was deployed last and not what is set: without this, changes wait for somebody to notice.
  triggers = {
    redeploy = sha1(jsonencode([
      module.authorizer.redeploy, local.methods, aws_api_gateway_method.orders, aws_api_gateway_integration.orders,
      aws_api_gateway_integration_response.preflight,
    ]))
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "prod" {
  rest_api_id   = aws_api_gateway_rest_api.orders.id
  deployment_id = aws_api_gateway_deployment.orders.id
  stage_name    = "prod"

  dynamic "access_log_settings" {
    for_each = var.access_log ? [1] : []

    content {
      destination_arn = aws_cloudwatch_log_group.access.arn
      format          = module.authorizer.access_log_format
    }
  }
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/aws/apigateway/orders"
  retention_in_days = 30
}
