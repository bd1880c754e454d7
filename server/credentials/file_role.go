package credentials

import (
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/verdict-authz/verdict/server/secret"
)

var (
	aliasForm  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	roleARN    = regexp.MustCompile(`^arn:(aws(?:-[a-z]+)*):iam::[0-9]{12}:role/(?:[!-~]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,64}$`)
	policyARN  = regexp.MustCompile(`^arn:(aws(?:-[a-z]+)*):iam::(?:aws|[0-9]{12}):policy/(?:[!-~]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,128}$`)
	regionForm = regexp.MustCompile(`^[a-z]{2,4}(?:-[a-z]+)+-[0-9]+$`)
	externalID = regexp.MustCompile(`^[A-Za-z0-9_+=,.@:/-]+$`)
)

// partitions are known by the beginnings of their regions; the rest is aws (botocore, partitions.json).
var partitions = map[string]string{
	"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-iso-": "aws-iso", "us-isob-": "aws-iso-b", "eu-isoe-": "aws-iso-e",
	"us-isof-": "aws-iso-f", "eusc-": "aws-eusc",
}

func partitionOf(region string) string {
	for begin, partition := range partitions {
		if strings.HasPrefix(region, begin) {
			return partition
		}
	}
	return "aws"
}

// role reads what stands behind an alias.
func (d *fileReader) role(key, value *yaml.Node) *role {
	place := "roles." + key.Value
	if !aliasForm.MatchString(key.Value) {
		d.bad(key, place, "an alias has 1 to 63 of a-z, 0-9 and -, and begins with a letter")
	}
	r := &role{alias: key.Value, longest: defaultDuration}
	var text struct{ action, longest, externalID string }
	var nodes struct{ longest, region, policy, transitive, webOnly *yaml.Node }
	webRefuses := func(f read) read {
		return func(n *yaml.Node, at string) {
			nodes.webOnly = n
			f(n, at)
		}
	}
	onePolicy := func(f read) read {
		return func(n *yaml.Node, at string) {
			if nodes.policy != nil {
				d.bad(n, at, "give policy or policy_file")
				return
			}
			nodes.policy = n
			f(n, at)
		}
	}
	d.object(value, place, map[string]read{
		"role_arn": d.text(&r.arn), "description": d.text(&r.description), "action": d.text(&text.action),
		"region":       func(n *yaml.Node, at string) { nodes.region = n; d.text(&r.region)(n, at) },
		"max_duration": func(n *yaml.Node, at string) { nodes.longest = n; d.text(&text.longest)(n, at) },
		"tags":         webRefuses(func(n *yaml.Node, at string) { d.tags(n, at, r) }),
		"transitive_tag_keys": webRefuses(func(n *yaml.Node, at string) {
			nodes.transitive = n
			d.texts(func(_ *yaml.Node, _, key string) { r.transitive = append(r.transitive, key) })(n, at)
		}),
		"external_id_file": webRefuses(func(n *yaml.Node, at string) { d.externalID(n, at, r) }),
		"policy":           onePolicy(func(n *yaml.Node, at string) { d.inlinePolicy(n, at, r) }),
		"policy_file":      onePolicy(func(n *yaml.Node, at string) { d.policyFile(n, at, r) }),
		"policy_arns":      d.texts(func(n *yaml.Node, at, arn string) { d.policyARN(n, at, arn, r) }),
	})
	partition := d.arn(value, place, r)
	switch text.action {
	case "", "assume_role":
	case "web_identity":
		r.action = WebIdentity
		if nodes.webOnly != nil {
			d.bad(nodes.webOnly, place, "tags, transitive_tag_keys and external_id_file are for assume_role; with web_identity the token says it all")
		}
	default:
		d.bad(value, place+".action", "want assume_role or web_identity")
	}
	d.longest(nodes.longest, place, text.longest, r)
	d.region(nodes.region, place, partition, r)
	d.transitive(nodes.transitive, place, r)
	d.sizes(value, place, partition, r)
	return r
}

func (d *fileReader) arn(n *yaml.Node, place string, r *role) (partition string) {
	found := roleARN.FindStringSubmatch(r.arn)
	if found == nil {
		d.bad(n, place+".role_arn", "want the ARN of a role, such as arn:aws:iam::123456789012:role/name")
		return ""
	}
	return found[1]
}

func (d *fileReader) longest(n *yaml.Node, place, text string, r *role) {
	if n == nil || text == "" {
		return
	}
	v, err := time.ParseDuration(text)
	switch {
	case err != nil:
		d.bad(n, place+".max_duration", "want a duration such as 15m or 1h")
	case v < minDuration || v > r.action.longest() || v%time.Second != 0:
		why := ""
		if r.action == AssumeRole {
			why = ": verdict's own role makes it role chaining, which STS ends after an hour"
		}
		d.bad(n, place+".max_duration", "want %s to %s in whole seconds%s", minDuration, r.action.longest(), why)
	default:
		r.longest = v
	}
}

func (d *fileReader) region(n *yaml.Node, place, partition string, r *role) {
	if n == nil || r.region == "" {
		return
	}
	switch {
	case !regionForm.MatchString(r.region):
		d.bad(n, place+".region", "want a region such as eu-west-1")
	case partition != "" && partitionOf(r.region) != partition:
		d.bad(n, place+".region", "is of partition %s, and the role of %s", partitionOf(r.region), partition)
	}
}

func (d *fileReader) tags(n *yaml.Node, place string, r *role) {
	folded := map[string]bool{}
	d.members(n, place, func(key, value *yaml.Node) {
		at, text := place+"."+key.Value, ""
		if err := checkTagKey(key.Value); err != nil {
			d.bad(key, at, "%v", err)
			return
		}
		if low := strings.ToLower(key.Value); folded[low] {
			d.bad(key, at, "STS takes one tag of a name, in whatever case")
		} else {
			folded[low] = true
		}
		if d.text(&text)(value, at); text == "" {
			return
		}
		t, err := parseTemplate(text)
		if err == nil {
			err = checkTagValue(t.literals())
		}
		if err != nil {
			d.bad(value, at, "%v", err)
			return
		}
		r.tags = append(r.tags, tagTemplate{key.Value, t})
	})
	if len(r.tags) > maxTags-1 {
		d.bad(n, place, "there are %d tags; STS takes %d, and one is verdict's", len(r.tags), maxTags)
	}
}

// transitive wants a tag for every key.
func (d *fileReader) transitive(n *yaml.Node, place string, r *role) {
	for _, key := range r.transitive {
		found := strings.EqualFold(key, decisionTag)
		for _, t := range r.tags {
			found = found || t.key == key
		}
		if !found {
			d.bad(n, place+".transitive_tag_keys", "there is no tag %s", key)
		}
	}
}

func (d *fileReader) externalID(n *yaml.Node, place string, r *role) {
	name := ""
	if d.text(&name)(n, place); name == "" {
		return
	}
	content := d.content(n, place, name)
	if content == nil {
		return
	}
	id := strings.TrimRight(string(content), "\r\n")
	if len(id) < 2 || len(id) > 1224 || !externalID.MatchString(id) {
		d.bad(n, place, "%s holds no external id: 2 to 1224 letters, digits and _ + = , . @ : / -", name)
		return
	}
	r.externalID = secret.NewValue([]byte(id))
}

func (d *fileReader) inlinePolicy(n *yaml.Node, place string, r *role) {
	if n.Kind == yaml.MappingNode {
		d.bad(n, place, "want JSON as a text: write `policy: |` and the JSON indented below")
		return
	}
	text := ""
	if d.text(&text)(n, place); text != "" {
		d.policy(n, place, []byte(text), r)
	}
}

func (d *fileReader) policyFile(n *yaml.Node, place string, r *role) {
	name := ""
	if d.text(&name)(n, place); name == "" {
		return
	}
	if content := d.content(n, place, name); content != nil {
		d.policy(n, place, content, r)
	}
}

func (d *fileReader) policy(n *yaml.Node, place string, text []byte, r *role) {
	var err error
	if r.policy, err = parsePolicy(text); err != nil {
		d.bad(n, place, "%v", err)
	}
}

func (d *fileReader) policyARN(n *yaml.Node, place, arn string, r *role) {
	if !policyARN.MatchString(arn) {
		d.bad(n, place, "want the ARN of a managed policy, such as arn:aws:iam::aws:policy/ReadOnlyAccess")
		return
	}
	r.policyARNs = append(r.policyARNs, arn)
}

// sizes checks what STS would refuse whoever asks.
func (d *fileReader) sizes(n *yaml.Node, place, partition string, r *role) {
	if len(r.policyARNs) > maxPolicyARNs {
		d.bad(n, place+".policy_arns", "there are %d; STS takes %d", len(r.policyARNs), maxPolicyARNs)
	}
	for _, arn := range r.policyARNs {
		if found := policyARN.FindStringSubmatch(arn); partition != "" && found[1] != partition {
			d.bad(n, place+".policy_arns", "%s is of another partition than the role", arn)
		}
	}
	if err := checkPolicySize(r.policy.literals(), r.policyARNs); err != nil {
		d.bad(n, place, "%v, even before placeholders are filled in", err)
	}
}
