data "aws_partition" "this" {}

data "aws_caller_identity" "this" {}

data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition

  # As text, since gateways may share an id and not a stage. Unsorted sets would change the function for nothing.
  allowed_apis = join(",", sort(distinct([for g in var.gateways : "${local.account}:${g.api_id}"])))
  apis = join(",", sort(distinct([
    for g in var.gateways : "${g.api_id}${g.stage == null ? "" : "/${g.stage}"}=${g.verdict_api}" if g.verdict_api != null
  ])))

  # A setting that is null is left out: the function has the default, and refuses names that it does not know.
  environment = { for name, value in {
    VERDICT_TARGET            = var.verdict.target
    VERDICT_CA_FILE           = var.verdict.ca_file == null ? null : "/opt/${var.verdict.ca_file}"
    VERDICT_CERT_FILE         = var.verdict.cert_file == null ? null : "/opt/${var.verdict.cert_file}"
    VERDICT_KEY_FILE          = var.verdict.key_file == null ? null : "/opt/${var.verdict.key_file}"
    VERDICT_SERVER_NAME       = var.verdict.server_name
    VERDICT_STS_AUDIENCE      = var.verdict.sts_audience
    VERDICT_PLAINTEXT         = var.verdict.plaintext ? "true" : null
    VERDICT_TIMEOUT           = "${var.verdict.timeout_s}s"
    VERDICT_IDLE_LIMIT        = "${var.verdict.idle_limit_s}s"
    VERDICT_ALLOWED_APIS      = local.allowed_apis
    VERDICT_APIS              = local.apis == "" ? null : local.apis
    VERDICT_MODE              = var.mode
    VERDICT_ANSWER            = var.answer
    VERDICT_CACHE_TTL         = "${var.cache_ttl_s}s"
    VERDICT_GATEWAY_ROUTES    = var.mode == "grant-set" ? var.gateway_routes : null
    VERDICT_POLICY_LIMIT      = tostring(var.policy_limit_bytes)
    VERDICT_BASE_PATH         = var.base_path
    VERDICT_TOKEN_QUERY       = var.token_query
    VERDICT_ALLOW_TEST_INVOKE = var.allow_test_invoke ? "true" : null
    VERDICT_USAGE_KEY         = var.usage_key
    VERDICT_CONTEXT_NAME      = var.context_name ? "true" : null
  } : name => value if value != null }
}

resource "aws_lambda_function" "this" {
  function_name    = var.name
  description      = "Asks verdict whether API Gateway may let a caller in"
  role             = aws_iam_role.this.arn
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  memory_size      = var.memory_mb
  timeout          = var.timeout_s
  publish          = true
  layers           = aws_lambda_layer_version.files[*].arn
  tags             = var.tags

  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = local.environment
  }

  # Its own group, by name: a function that is invoked before the group exists would make one that is kept for ever.
  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this.name
  }

  dynamic "vpc_config" {
    for_each = var.vpc[*]

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  # Lambda tries to use the permissions while it makes the function.
  depends_on = [aws_iam_role_policy.this]
}

# What gateways invoke. A new package becomes a new version, and the alias moves once that is made: no request sees half of it.
resource "aws_lambda_alias" "live" {
  name             = "live"
  description      = "The version that gateways ask"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}

resource "aws_lambda_provisioned_concurrency_config" "live" {
  count = var.provisioned_concurrency > 0 ? 1 : 0

  function_name                     = aws_lambda_function.this.function_name
  qualifier                         = aws_lambda_alias.live.name
  provisioned_concurrent_executions = var.provisioned_concurrency
}

# PEM files, as /opt/NAME. Whoever may read layers of the account can read them: a certificate authority is no secret, a
# private key is, which is why verdict.sts_audience is the better way for the function to say who it is.
resource "aws_lambda_layer_version" "files" {
  count = var.files_zip == null ? 0 : 1

  layer_name       = "${var.name}-files"
  description      = "Certificates for the connection to verdict"
  filename         = var.files_zip
  source_code_hash = filebase64sha256(var.files_zip)
}
