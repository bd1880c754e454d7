package terraform_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// TestMain makes this test binary the provider when Terraform starts it as one.
func TestMain(m *testing.M) {
	if os.Getenv("TF_PLUGIN_MAGIC_COOKIE") != "" {
		server := func() tfprotov6.ProviderServer { return standIn{} }
		if err := tf6server.Serve("verdict.test/hashicorp/aws", server, tf6server.WithoutLogStderrOverride()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// standIn stands in for the AWS provider, which cannot be had without a network: it knows the resources that we use, and plans
// for what AWS would set names that tell what they are of. It makes nothing. What it does not implement Terraform does not ask
// of it for a first plan.
type standIn struct{ tfprotov6.ProviderServer }

// Facts that the stand-in has of the account.
const (
	account = "123456789012"
	region  = "eu-west-1"
)

var dataValues = map[string]map[string]string{
	"aws_partition":       {"partition": "aws", "dns_suffix": "amazonaws.com", "id": "aws"},
	"aws_caller_identity": {"account_id": account, "arn": "arn:aws:iam::" + account + ":root", "user_id": account, "id": account},
	"aws_region":          {"id": region},
}

func (standIn) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	return &tfprotov6.GetMetadataResponse{}, nil
}

func (standIn) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	resp := &tfprotov6.GetProviderSchemaResponse{
		Provider:        shape{attributes: "region"}.schema(),
		ResourceSchemas: map[string]*tfprotov6.Schema{}, DataSourceSchemas: map[string]*tfprotov6.Schema{},
	}
	for name, s := range resourceShapes {
		resp.ResourceSchemas[name] = s.schema()
	}
	for name, s := range dataShapes {
		resp.DataSourceSchemas[name] = s.schema()
	}
	return resp, nil
}

func (standIn) GetResourceIdentitySchemas(context.Context, *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov6.GetResourceIdentitySchemasResponse{}, nil
}

func (standIn) ValidateProviderConfig(_ context.Context, req *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: req.Config}, nil
}

func (standIn) ConfigureProvider(context.Context, *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	return &tfprotov6.ConfigureProviderResponse{}, nil
}

func (standIn) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

func (standIn) ValidateResourceConfig(context.Context, *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return &tfprotov6.ValidateResourceConfigResponse{}, nil
}

func (standIn) ValidateDataResourceConfig(context.Context, *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return &tfprotov6.ValidateDataResourceConfigResponse{}, nil
}

func (standIn) ReadDataSource(_ context.Context, req *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	kind := dataShapes[req.TypeName].schema().ValueType()
	values, err := object(kind, req.Config)
	if err != nil {
		return nil, err
	}
	for name, value := range dataValues[req.TypeName] {
		values[name] = tftypes.NewValue(tftypes.String, value)
	}
	state, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, values))
	return &tfprotov6.ReadDataSourceResponse{State: &state}, err
}

// PlanResourceChange plans what is configured, and for what AWS would set a value that can be told from others.
func (standIn) PlanResourceChange(_ context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	s := resourceShapes[req.TypeName]
	kind := s.schema().ValueType()
	values, err := object(kind, req.ProposedNewState)
	if err != nil {
		return nil, err
	}
	name := nameOf(values)
	for _, a := range s.block().Attributes {
		if a.Computed {
			values[a.Name] = tftypes.NewValue(tftypes.String, invented(req.TypeName, a.Name, name, values))
		}
	}
	state, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, values))
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: &state}, err
}

func object(kind tftypes.Type, v *tfprotov6.DynamicValue) (map[string]tftypes.Value, error) {
	value, err := v.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	var values map[string]tftypes.Value
	return values, value.As(&values)
}

// nameOf is what tells a resource from others of its type.
func nameOf(values map[string]tftypes.Value) string {
	for _, attribute := range []string{"function_name", "name", "layer_name", "alarm_name", "route_key", "integration_type", "path_part", "api_id", "rest_api_id"} {
		if name := text(values[attribute]); name != "" {
			return name
		}
	}
	return "one"
}

func text(v tftypes.Value) string {
	var s string
	if v.Type() == nil || v.IsNull() || !v.IsKnown() || v.As(&s) != nil {
		return ""
	}
	return s
}

// invented is a value as AWS would make it.
func invented(resource, attribute, name string, values map[string]tftypes.Value) string {
	lambda := "arn:aws:lambda:" + region + ":" + account + ":function:" + text(values["function_name"])
	switch resource + "." + attribute {
	case "aws_lambda_function.arn":
		return lambda
	case "aws_lambda_function.version":
		return "1"
	case "aws_lambda_alias.arn":
		return lambda + ":" + text(values["name"])
	case "aws_lambda_alias.invoke_arn":
		return "arn:aws:apigateway:" + region + ":lambda:path/2015-03-31/functions/" + lambda + ":" + text(values["name"]) + "/invocations"
	case "aws_apigatewayv2_api.execution_arn", "aws_api_gateway_rest_api.execution_arn":
		return "arn:aws:execute-api:" + region + ":" + account + ":id-" + name
	case "aws_api_gateway_resource.path":
		return "/" + name
	}
	return strings.ReplaceAll(attribute+"-"+name, "$", "")
}
