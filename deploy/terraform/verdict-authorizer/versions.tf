terraform {
  # 1.9: a variable's validation may look at other variables, and the rules of this module are about settings together.
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
  }
}
