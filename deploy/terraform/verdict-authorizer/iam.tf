# The role may write its own log, and beyond that only what the settings need.

locals {
  log_statements = [{
    Sid      = "Log"
    Effect   = "Allow"
    Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    Resource = "${aws_cloudwatch_log_group.this.arn}:*"
  }]

  # EC2 knows no resource for these when Lambda asks. The second statement keeps them from the function's own code.
  vpc_statements = [for s in [
    {
      Sid    = "NetworkInterfaces"
      Effect = "Allow"
      Action = [
        "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
      ]
      Resource = "*"
    },
    {
      Sid       = "NotByTheFunction"
      Effect    = "Deny"
      Action    = "ec2:*"
      Resource  = "*"
      Condition = { ArnEquals = { "lambda:SourceFunctionArn" = local.function_arn } }
    },
  ] : s if var.vpc != null]

  # Tokens for verdict and nobody else, of the kind and life that the function asks for. ForAllValues holds of no value too,
  # hence Null.
  sts_statements = [for s in [{
    Sid      = "ShowVerdictWhoAsks"
    Effect   = "Allow"
    Action   = "sts:GetWebIdentityToken"
    Resource = "*"
    Condition = {
      "ForAllValues:StringEquals" = { "sts:IdentityTokenAudience" = [var.verdict.sts_audience] }
      Null                        = { "sts:IdentityTokenAudience" = "false" }
      StringEquals                = { "sts:SigningAlgorithm" = "RS256" }
      NumericLessThanEquals       = { "sts:DurationSeconds" = 300 }
    }
  }] : s if var.verdict.sts_audience != null]

  # Written out: the function's own attribute would make the role depend on the function.
  function_arn = "arn:${local.partition}:lambda:${data.aws_region.this.id}:${local.account}:function:${var.name}"
}

resource "aws_iam_role" "this" {
  name                 = var.name
  description          = "Role of the Lambda function ${var.name}"
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "verdict-authorizer"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.log_statements, local.vpc_statements, local.sts_statements)
  })
}
