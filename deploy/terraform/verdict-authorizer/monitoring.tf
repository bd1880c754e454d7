# The log, numbers taken from it, and alarms. Lambda's own count of errors holds the 401 of REST and WebSocket APIs, which are
# errors to it: anyone can cause those without a token, and they must wake nobody. The function's log tells them apart.

locals {
  metrics = "Verdict/${var.name}" # namespace: the numbers of two functions are not added up
  alarms  = var.alarms[*]

  counters = {
    Unauthorized = "{ $.msg = \"answered\" && $.failure = \"Unauthorized\" }"
    Undecided    = "{ $.msg = \"answered\" && ($.failure = \"Unreachable\" || $.failure = \"Undecided\") }"
    Failures     = "{ $.level = \"ERROR\" }"
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

# Answers by what was answered and why. Both are closed lists; a dimension that a client can choose would be without bound.
resource "aws_cloudwatch_log_metric_filter" "answers" {
  name           = "${var.name}-answers"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = "{ $.msg = \"answered\" && $.reason = * }"

  metric_transformation {
    name      = "Answers"
    namespace = local.metrics
    value     = "1"
    unit      = "Count"

    dimensions = {
      effect = "$.effect"
      reason = "$.reason"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "counters" {
  for_each = local.counters

  name           = "${var.name}-${lower(each.key)}"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = each.value

  metric_transformation {
    name          = each.key
    namespace     = local.metrics
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  count = length(local.alarms)

  alarm_name          = "${var.name}-errors"
  alarm_description   = "Invocations failed other than with 401: callers got 500. The function's log has the cause; without a line there it crashed or ran out of time."
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.alarms[0].errors
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms[0].actions
  ok_actions          = local.alarms[0].actions
  tags                = var.tags

  metric_query {
    id          = "failed"
    expression  = "errors - FILL(unauthorized, 0)"
    label       = "Errors but for 401"
    return_data = true
  }

  metric_query {
    id = "errors"

    metric {
      namespace   = "AWS/Lambda"
      metric_name = "Errors"
      period      = 300
      stat        = "Sum"
      dimensions  = { FunctionName = aws_lambda_function.this.function_name }
    }
  }

  metric_query {
    id = "unauthorized"

    metric {
      namespace   = local.metrics
      metric_name = "Unauthorized"
      period      = 300
      stat        = "Sum"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "undecided" {
  count = length(local.alarms)

  alarm_name          = "${var.name}-undecided"
  alarm_description   = "verdict did not answer, or could not decide: callers got 500. Ask SystemService.Status, and look at code and reason in the function's log."
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.alarms[0].undecided
  evaluation_periods  = 1
  namespace           = local.metrics
  metric_name         = aws_cloudwatch_log_metric_filter.counters["Undecided"].metric_transformation[0].name
  period              = 300
  statistic           = "Sum"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms[0].actions
  ok_actions          = local.alarms[0].actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "throttles" {
  count = length(local.alarms)

  alarm_name          = "${var.name}-throttles"
  alarm_description   = "Lambda refused to start the function: callers got 500. Raise reserved_concurrency, or the account's quota."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  period              = 60
  statistic           = "Sum"
  dimensions          = { FunctionName = aws_lambda_function.this.function_name }
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms[0].actions
  ok_actions          = local.alarms[0].actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "slow" {
  count = length(local.alarms)

  alarm_name          = "${var.name}-slow"
  alarm_description   = "The slowest hundredth of answers took longer than ${local.alarms[0].p99_ms} ms, three times in a row."
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.alarms[0].p99_ms
  evaluation_periods  = 3
  namespace           = "AWS/Lambda"
  metric_name         = "Duration"
  period              = 60
  extended_statistic  = "p99"
  dimensions          = { FunctionName = aws_lambda_function.this.function_name }
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms[0].actions
  ok_actions          = local.alarms[0].actions
  tags                = var.tags

  # Of a handful of invocations one slow start is the hundredth.
  evaluate_low_sample_count_percentiles = "ignore"
}
