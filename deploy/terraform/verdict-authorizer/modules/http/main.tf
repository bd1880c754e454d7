locals {
  # What a kept simple answer depends on, by authorizer: the caller and the route; the method too where a route is for any, and
  # the path where a route is for several. The function refuses to answer when one of them is missing.
  depends = { for name, a in var.authorizers : name => distinct(concat(
    ["$request.header.Authorization"],
    a.function.cache_ttl_s > 0 && a.function.answer == "simple" ? concat(
      ["$context.routeKey"],
      anytrue([for key, r in var.routes : r.authorizer == name && (key == "$default" || startswith(key, "ANY "))]) ? ["$context.httpMethod"] : [],
      anytrue([for key, r in var.routes : r.authorizer == name && (key == "$default" || strcontains(key, "{"))]) ? ["$context.path"] : [],
    ) : [],
  )) }

  identity_sources = { for name, a in var.authorizers : name => a.identity_sources == null ? local.depends[name] : a.identity_sources }
}

resource "aws_apigatewayv2_authorizer" "this" {
  for_each = var.authorizers

  api_id           = var.api_id
  name             = each.key
  authorizer_type  = "REQUEST"
  authorizer_uri   = each.value.function.invoke_arn
  identity_sources = local.identity_sources[each.key]

  # Said always: left out, the TTL is 300 seconds.
  authorizer_result_ttl_in_seconds  = each.value.function.cache_ttl_s
  authorizer_payload_format_version = "2.0"
  enable_simple_responses           = each.value.function.answer == "simple"

  lifecycle {
    precondition {
      condition     = each.value.function.cache_ttl_s == 0 || length(setsubtract([for s in local.depends[each.key] : lower(s)], [for s in local.identity_sources[each.key] : lower(s)])) == 0
      error_message = "Authorizer ${each.key}: its answers are kept, and depend on ${join(", ", local.depends[each.key])}; name them all in identity_sources, or leave it out."
    }
  }
}

# Without it every request is answered with 500. For this one authorizer of this one API.
resource "aws_lambda_permission" "this" {
  for_each = var.authorizers

  # By the API too: one function may serve several.
  statement_id  = "verdict-${var.api_id}-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = each.value.function.name
  qualifier     = each.value.function.alias
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${var.execution_arn}/authorizers/${aws_apigatewayv2_authorizer.this[each.key].id}"
}

resource "aws_apigatewayv2_route" "this" {
  for_each = var.routes

  api_id             = var.api_id
  route_key          = each.key
  operation_name     = each.value.operation_name
  target             = "integrations/${each.value.integration_id}"
  authorization_type = each.value.public ? "NONE" : "CUSTOM"
  authorizer_id      = each.value.public ? null : aws_apigatewayv2_authorizer.this[each.value.authorizer].id

  # A route must not be open, or answer 500, while the permission is still on its way.
  depends_on = [aws_lambda_permission.this]
}
