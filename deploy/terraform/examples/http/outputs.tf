output "url" {
  description = "Where the API is."
  value       = aws_apigatewayv2_stage.prod.invoke_url
}

output "public_routes" {
  description = "Routes that anybody may use."
  value       = module.authorizer.public_routes
}
