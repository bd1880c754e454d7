// Command empty is a Lambda function that does nothing, over the runtime that AWS publishes: what the start of the authorizer
// is measured against.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(context.Context) error { return nil })
}
