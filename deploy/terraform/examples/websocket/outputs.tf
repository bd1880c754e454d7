output "url" {
  description = "Where clients connect, with ?token=."
  value       = aws_apigatewayv2_stage.prod.invoke_url
}
