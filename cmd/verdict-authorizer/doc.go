// Command verdict-authorizer is the AWS Lambda authorizer: API Gateway asks it, it asks verdict. REST APIs (TOKEN and REQUEST),
// HTTP APIs (1.0 and 2.0) and WebSocket APIs ask the same binary, which is deployed as `bootstrap` on provided.al2023 and set by
// environment variables; docs/aws-lambda.md has them, and what each answer becomes for the caller.
//
// It promises:
//   - It fails closed. What it does not understand, and a verdict that does not answer, is an error, which the gateway turns into
//     500 and does not keep; the exact error `Unauthorized` becomes 401 on REST and WebSocket APIs; a refusal is an answer, 403.
//   - Nothing that a client wrote gets into a policy: resources come from verdict's templates and the ARN up to the stage.
//   - An answer that the gateway keeps allows nothing later that verdict would not allow on the same policy (package execapi).
//   - One line of JSON for each event, without token, cookie, query, header, path or a caller's address.
//
// It is small and quick to start: the contract, gRPC, and a loop over the runtime API of its own (package lambda). Connecting to
// verdict begins at the start and is not waited for; what a freeze does to the connection is verdictclient's business.
package main
