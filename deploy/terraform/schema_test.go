package terraform_test

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// shape is the part that we use of a resource of the AWS provider, from the provider's documentation. attributes are words:
// "name", with ! when it is required and = when the provider sets it, and a type after a colon: n number, b boolean, [s] list,
// {s} set and <s> or <b> map; none is a string.
type shape struct {
	attributes string
	blocks     map[string]shape
}

const mapTag = " tags:<s>"

var resourceShapes = map[string]shape{
	"aws_lambda_function": {
		attributes: "function_name! role! description filename source_code_hash runtime handler architectures:[s] memory_size:n timeout:n " +
			"publish:b layers:[s] kms_key_arn reserved_concurrent_executions:n arn= invoke_arn= version= qualified_arn= id=" + mapTag,
		blocks: map[string]shape{
			"environment":    {attributes: "variables:<s>"},
			"logging_config": {attributes: "log_format! log_group application_log_level system_log_level"},
			"vpc_config":     {attributes: "subnet_ids:{s}! security_group_ids:{s}!"},
		},
	},
	"aws_lambda_alias":                          {attributes: "name! function_name! function_version! description arn= invoke_arn= id="},
	"aws_lambda_provisioned_concurrency_config": {attributes: "function_name! qualifier! provisioned_concurrent_executions:n! skip_destroy:b id="},
	"aws_lambda_layer_version":                  {attributes: "layer_name! description filename source_code_hash compatible_architectures:{s} arn= version= id="},
	"aws_lambda_permission":                     {attributes: "statement_id action! function_name! qualifier principal! source_arn source_account id="},
	"aws_iam_role":                              {attributes: "name description assume_role_policy! permissions_boundary path arn= id=" + mapTag},
	"aws_iam_role_policy":                       {attributes: "name role! policy! id="},
	"aws_cloudwatch_log_group":                  {attributes: "name retention_in_days:n kms_key_id skip_destroy:b arn= id=" + mapTag},
	"aws_cloudwatch_log_metric_filter": {
		attributes: "name! log_group_name! pattern! id=",
		blocks:     map[string]shape{"metric_transformation": {attributes: "name! namespace! value! default_value unit dimensions:<s>"}},
	},
	"aws_cloudwatch_metric_alarm": {
		attributes: "alarm_name! comparison_operator! evaluation_periods:n! threshold:n metric_name namespace period:n statistic extended_statistic " +
			"alarm_description treat_missing_data evaluate_low_sample_count_percentiles alarm_actions:{s} ok_actions:{s} " +
			"insufficient_data_actions:{s} dimensions:<s> datapoints_to_alarm:n arn= id=" + mapTag,
		blocks: map[string]shape{"metric_query": {
			attributes: "id! expression label return_data:b period:n account_id",
			blocks:     map[string]shape{"metric": {attributes: "metric_name! namespace period:n! stat! unit dimensions:<s>"}},
		}},
	},
	"aws_apigatewayv2_api": {
		attributes: "name! protocol_type! route_selection_expression description disable_execute_api_endpoint:b api_endpoint= execution_arn= arn= id=" + mapTag,
		blocks: map[string]shape{"cors_configuration": {
			attributes: "allow_credentials:b allow_headers:{s} allow_methods:{s} allow_origins:{s} expose_headers:{s} max_age:n",
		}},
	},
	"aws_apigatewayv2_authorizer": {attributes: "api_id! authorizer_type! name! authorizer_credentials_arn authorizer_payload_format_version " +
		"authorizer_result_ttl_in_seconds:n authorizer_uri enable_simple_responses:b identity_sources:{s} id="},
	"aws_apigatewayv2_route": {attributes: "api_id! route_key! api_key_required:b authorization_scopes:{s} authorization_type authorizer_id " +
		"operation_name target id="},
	"aws_apigatewayv2_integration": {attributes: "api_id! integration_type! connection_id connection_type integration_method integration_uri " +
		"payload_format_version request_parameters:<s> request_templates:<s> template_selection_expression timeout_milliseconds:n id="},
	"aws_apigatewayv2_deployment": {attributes: "api_id! description triggers:<s> id="},
	"aws_apigatewayv2_stage": {
		attributes: "api_id! name! auto_deploy:b deployment_id description stage_variables:<s> invoke_url= execution_arn= arn= id=" + mapTag,
		blocks: map[string]shape{
			"access_log_settings":    {attributes: "destination_arn! format!"},
			"default_route_settings": {attributes: "detailed_metrics_enabled:b throttling_burst_limit:n throttling_rate_limit:n"},
		},
	},
	"aws_api_gateway_rest_api": {
		attributes: "name! description api_key_source disable_execute_api_endpoint:b root_resource_id= execution_arn= arn= id=" + mapTag,
		blocks:     map[string]shape{"endpoint_configuration": {attributes: "types:[s]! vpc_endpoint_ids:{s}"}},
	},
	"aws_api_gateway_authorizer": {attributes: "rest_api_id! name! type authorizer_uri authorizer_credentials authorizer_result_ttl_in_seconds:n " +
		"identity_source identity_validation_expression arn= id="},
	"aws_api_gateway_gateway_response": {attributes: "rest_api_id! response_type! status_code response_templates:<s> response_parameters:<s> id="},
	"aws_api_gateway_resource":         {attributes: "rest_api_id! parent_id! path_part! path= id="},
	"aws_api_gateway_method": {attributes: "rest_api_id! resource_id! http_method! authorization! authorizer_id api_key_required:b " +
		"request_parameters:<b> id="},
	"aws_api_gateway_integration": {attributes: "rest_api_id! resource_id! http_method! type! integration_http_method uri connection_id " +
		"request_parameters:<s> request_templates:<s> timeout_milliseconds:n id="},
	"aws_api_gateway_method_response": {attributes: "rest_api_id! resource_id! http_method! status_code! response_parameters:<b> id="},
	"aws_api_gateway_integration_response": {attributes: "rest_api_id! resource_id! http_method! status_code! selection_pattern " +
		"response_parameters:<s> response_templates:<s> id="},
	"aws_api_gateway_deployment": {attributes: "rest_api_id! description triggers:<s> id="},
	"aws_api_gateway_stage": {
		attributes: "rest_api_id! deployment_id! stage_name! description invoke_url= execution_arn= arn= id=" + mapTag,
		blocks:     map[string]shape{"access_log_settings": {attributes: "destination_arn! format!"}},
	},
}

var dataShapes = map[string]shape{
	"aws_partition":       {attributes: "partition= dns_suffix= id="},
	"aws_caller_identity": {attributes: "account_id= arn= user_id= id="},
	"aws_region":          {attributes: "description= endpoint= id="}, // its name is called name in version 5 of the provider and region since
}

// schema is a shape as the protocol has it.
func (s shape) schema() *tfprotov6.Schema { return &tfprotov6.Schema{Block: s.block()} }

func (s shape) block() *tfprotov6.SchemaBlock {
	b := &tfprotov6.SchemaBlock{}
	for word := range strings.FieldsSeq(s.attributes) {
		required, computed := strings.HasSuffix(word, "!"), strings.HasSuffix(word, "=")
		name, kind, _ := strings.Cut(strings.TrimRight(word, "!="), ":")
		b.Attributes = append(b.Attributes, &tfprotov6.SchemaAttribute{
			Name: name, Type: kinds[kind], Required: required, Computed: computed, Optional: !required && !computed,
		})
	}
	for name, inner := range s.blocks {
		b.BlockTypes = append(b.BlockTypes, &tfprotov6.SchemaNestedBlock{
			TypeName: name, Block: inner.block(), Nesting: tfprotov6.SchemaNestedBlockNestingModeList,
		})
	}
	return b
}

var kinds = map[string]tftypes.Type{
	"": tftypes.String, "n": tftypes.Number, "b": tftypes.Bool,
	"[s]": tftypes.List{ElementType: tftypes.String}, "{s}": tftypes.Set{ElementType: tftypes.String},
	"<s>": tftypes.Map{ElementType: tftypes.String}, "<b>": tftypes.Map{ElementType: tftypes.Bool},
}
