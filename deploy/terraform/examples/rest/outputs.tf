output "url" {
  description = "Where the API is."
  value       = aws_api_gateway_stage.prod.invoke_url
}
