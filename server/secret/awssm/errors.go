package awssm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/verdict-authz/verdict/server/secret"
)

var (
	errLoad   = errors.New("the shared configuration of AWS cannot be read")
	errRegion = errors.New("in which region? Give ?region=, the ARN, or AWS_REGION")

	errEndpoint = errors.New("AWS_ENDPOINT_URL_SECRETS_MANAGER, AWS_ENDPOINT_URL: want https, or http on this machine: secrets travel there")
)

// maxMessage is how much is kept of what AWS says of a refusal.
const maxMessage = 300

// pick takes the member key out of the JSON object that a secret is, or all of the secret for "".
func pick(out *secretsmanager.GetSecretValueOutput, key string) (secret.Value, error) {
	content := out.SecretBinary
	if out.SecretString != nil {
		content = []byte(*out.SecretString)
	}
	switch {
	case len(content) == 0:
		return secret.Value{}, errors.New("it is empty")
	case len(content) > secret.MaxSize:
		return secret.Value{}, fmt.Errorf("over %d bytes", secret.MaxSize)
	case key == "":
		return secret.NewValue(content), nil
	}
	// The decoder's errors repeat what they stumble over.
	var members map[string]json.RawMessage
	if json.Unmarshal(content, &members) != nil {
		return secret.Value{}, fmt.Errorf("it is no JSON object, and has no key %q", key)
	}
	raw, ok := members[key]
	if !ok {
		return secret.Value{}, fmt.Errorf("it has no key %q", key)
	}
	var text string
	if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		return secret.Value{}, fmt.Errorf("its key %q is not a string", key)
	}
	if text == "" {
		return secret.Value{}, fmt.Errorf("its key %q is empty", key)
	}
	return secret.NewValue([]byte(text)), nil
}

// isAbsent says that the secret, or a version in the stage, is not there.
func isAbsent(err error) bool {
	var absent *types.ResourceNotFoundException
	return errors.As(err, &absent)
}

// silent keeps of an error what AWS says of a refusal (a code, and who may not do what), or what became of the connection.
// The rest is of credentials and how they were looked for, in files and programs that may hold some.
func silent(err error) error {
	var refused smithy.APIError
	var network *net.OpError
	var name *net.DNSError
	switch {
	case errors.Is(err, errLoad), errors.Is(err, errRegion), errors.Is(err, errEndpoint):
		return err
	case errors.As(err, &refused):
		return fmt.Errorf("AWS says %s: %s", refused.ErrorCode(), cut(refused.ErrorMessage()))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("AWS does not answer, or gives no credentials: %w", context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &name):
		return fmt.Errorf("AWS cannot be reached: %w", name)
	case errors.As(err, &network):
		return fmt.Errorf("AWS cannot be reached: %w", network)
	}
	return errors.New("AWS cannot be asked: there are no credentials here, or the answer was not understood")
}

func cut(message string) string {
	if len(message) > maxMessage {
		return message[:maxMessage] + "…"
	}
	return message
}
