output "function" {
  description = "What the modules rest, http and websocket need of the function, as one value."
  value = {
    name       = aws_lambda_function.this.function_name
    alias      = aws_lambda_alias.live.name
    invoke_arn = aws_lambda_alias.live.invoke_arn
    # With the answers: the authorizer's TTL and form are the function's, and cannot differ.
    mode        = var.mode
    answer      = var.answer
    cache_ttl_s = var.cache_ttl_s
    token_query = var.token_query
  }
}

output "function_arn" {
  description = "ARN of the function."
  value       = aws_lambda_function.this.arn
}

output "alias_arn" {
  description = "ARN of the alias that gateways invoke."
  value       = aws_lambda_alias.live.arn
}

output "version" {
  description = "Version that the alias points to."
  value       = aws_lambda_function.this.version
}

output "role_arn" {
  description = "ARN of the function's role. It is the subject of the tokens that verdict sees with verdict.sts_audience."
  value       = aws_iam_role.this.arn
}

output "log_group_name" {
  description = "Log group of the function."
  value       = aws_cloudwatch_log_group.this.name
}

output "metrics_namespace" {
  description = "Namespace of the metrics taken from the log: Answers (by effect and reason), Unauthorized, Undecided, Failures."
  value       = local.metrics
}

output "alarm_arns" {
  description = "ARNs of the alarms."
  value = concat(
    aws_cloudwatch_metric_alarm.errors[*].arn, aws_cloudwatch_metric_alarm.undecided[*].arn,
    aws_cloudwatch_metric_alarm.throttles[*].arn, aws_cloudwatch_metric_alarm.slow[*].arn,
  )
}
