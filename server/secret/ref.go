package secret

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Scheme is a kind of place where secrets are kept.
type Scheme string

// The schemes.
const (
	File              Scheme = "file"
	Env               Scheme = "env"
	AWSSecretsManager Scheme = "awssm"
	AzureKeyVault     Scheme = "azkv"
)

// CurrentStage is the stage of AWS Secrets Manager that is read unless a reference names another.
const CurrentStage = "AWSCURRENT"

// errOpen does not repeat what was given: it may be the secret itself.
var errOpen = errors.New("a secret is never given in the open; use file:///path, env://NAME, awssm://name#key or azkv://vault/name")

// Ref names a secret. The zero Ref names none. It holds nothing secret and is read with Parse.
type Ref struct {
	Scheme  Scheme
	Name    string // path of the file, absolute and clean; variable; name or ARN in AWS; name in the vault
	Key     string // member of the JSON object that the secret is; "" means all of it (awssm)
	Stage   string // "" means CurrentStage (awssm)
	Region  string // "" means that of the surroundings; set for an ARN (awssm)
	Vault   string // its name, without the domain (azkv)
	Version string // "" means the newest (azkv)
}

// Parse reads a reference. Its errors never repeat what was given.
func Parse(text string) (Ref, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return Ref{}, errOpen
	}
	switch Scheme(scheme) {
	case File:
		return parseFile(rest)
	case Env:
		if !variable.MatchString(rest) {
			return Ref{}, errors.New("env://: not the name of a variable: letters, digits and _, no digit first")
		}
		return Ref{Scheme: Env, Name: rest}, nil
	case AWSSecretsManager:
		return parseAWS(rest)
	case AzureKeyVault:
		return parseAzure(rest)
	}
	return Ref{}, errOpen
}

var (
	variable     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,255}$`)
	awsName      = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)
	awsStage     = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,256}$`)
	awsRegion    = regexp.MustCompile(`^[a-z]{2,6}(-[a-z0-9]{1,12}){1,4}$`)
	awsARN       = regexp.MustCompile(`^arn:aws[a-z-]{0,12}:secretsmanager:([a-z0-9-]{1,40}):[0-9]{12}:secret:([A-Za-z0-9/_+=.@-]{1,520})$`)
	azureVault   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]$`)
	azureName    = regexp.MustCompile(`^[A-Za-z0-9-]{1,127}$`)
	azureVersion = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)
)

const maxKey = 256 // characters of the name of a JSON member

func parseFile(rest string) (Ref, error) {
	name, err := url.PathUnescape(rest)
	switch {
	case strings.ContainsAny(rest, "?#"):
		return Ref{}, errors.New("file://: a file has no key and no parameters; write %3F and %23 for ? and # in its name")
	case err != nil || strings.ContainsRune(name, 0):
		return Ref{}, errors.New("file://: % is not followed by two hexadecimal digits; write %25 for % itself")
	case !strings.HasPrefix(name, "/"):
		return Ref{}, errors.New("file://: the path is not absolute; write file:///run/secrets/name")
	case strings.HasSuffix(name, "/") || path.Clean(name) == "/":
		return Ref{}, errors.New("file://: names a folder")
	}
	return Ref{Scheme: File, Name: path.Clean(name)}, nil
}

// parseAWS reads name#key?stage=…&region=…. The name may hold @ and, as an ARN, colons, which is why no parser of URLs is
// asked.
func parseAWS(rest string) (r Ref, err error) {
	rest, query, asked := strings.Cut(rest, "?")
	if strings.Contains(query, "#") {
		return Ref{}, errors.New("awssm://: the key comes before the parameters: awssm://name#key?stage=…")
	}
	name, key, keyed := strings.Cut(rest, "#")
	r = Ref{Scheme: AWSSecretsManager, Name: name, Stage: CurrentStage}
	if keyed {
		r.Key, err = url.PathUnescape(key)
		if err != nil || r.Key == "" || len(r.Key) > maxKey {
			return Ref{}, errors.New("awssm://: after # comes the key in the JSON object, 1 to 256 characters")
		}
	}
	arn := awsARN.FindStringSubmatch(name)
	switch {
	case arn != nil:
		r.Region = arn[1]
	case strings.HasPrefix(name, "arn:"):
		return Ref{}, errors.New("awssm://: not the ARN of a secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX")
	case !awsName.MatchString(name):
		return Ref{}, errors.New("awssm://: not the name of a secret: letters, digits and /_+=.@-, up to 512")
	}
	if asked {
		err = r.parameters(query)
	}
	if err != nil {
		return Ref{}, err
	}
	return r, nil
}

// parameters reads stage and region.
func (r *Ref) parameters(query string) error {
	q, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("awssm://: the parameters are not of the form stage=…&region=…")
	}
	for name, values := range q {
		value := values[0]
		switch {
		case name != "stage" && name != "region":
			return errors.New("awssm://: unknown parameter; there are stage and region")
		case len(values) > 1:
			return fmt.Errorf("awssm://: %s is given twice", name)
		case name == "stage" && !awsStage.MatchString(value):
			return errors.New("awssm://: stage is not the name of one, such as AWSCURRENT")
		case name == "region" && !awsRegion.MatchString(value):
			return errors.New("awssm://: region is not the name of one, such as eu-west-1")
		case name == "stage":
			r.Stage = value
		case r.Region != "" && r.Region != value:
			return errors.New("awssm://: the ARN is in another region than the one asked for")
		default:
			r.Region = value
		}
	}
	return nil
}

func parseAzure(rest string) (Ref, error) {
	parts := strings.Split(rest, "/")
	switch {
	case strings.ContainsAny(rest, "?#"):
		return Ref{}, errors.New("azkv://: there is no key and there are no parameters")
	case len(parts) < 2 || len(parts) > 3:
		return Ref{}, errors.New("azkv://: not of the form azkv://vault/name or azkv://vault/name/version")
	case strings.Contains(parts[0], "."):
		return Ref{}, errors.New("azkv://: the vault is given by its name alone; its domain follows from the cloud")
	case !azureVault.MatchString(parts[0]) || !azureName.MatchString(parts[1]):
		return Ref{}, errors.New("azkv://: not the names of a vault and a secret: letters, digits and -")
	}
	r := Ref{Scheme: AzureKeyVault, Vault: strings.ToLower(parts[0]), Name: parts[1]}
	if len(parts) == 3 {
		if !azureVersion.MatchString(parts[2]) {
			return Ref{}, errors.New("azkv://: not a version: letters and digits")
		}
		r.Version = parts[2]
	}
	return r, nil
}

// IsZero says that r names no secret.
func (r Ref) IsZero() bool { return r == Ref{} }

// IsARN says that r names a secret of AWS by its ARN.
func (r Ref) IsARN() bool { return r.Scheme == AWSSecretsManager && strings.HasPrefix(r.Name, "arn:") }

// fixed says that what r names cannot change while the process runs.
func (r Ref) fixed() bool { return r.Scheme == Env || r.Scheme == AzureKeyVault && r.Version != "" }

// String is the reference in the form that Parse reads, with what is the default left out.
func (r Ref) String() string {
	switch r.Scheme {
	case File:
		return "file://" + (&url.URL{Path: r.Name}).EscapedPath()
	case Env:
		return "env://" + r.Name
	case AzureKeyVault:
		parts := []string{r.Vault, r.Name, r.Version}
		return "azkv://" + strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "/")
	case AWSSecretsManager:
		return r.aws()
	}
	return ""
}

func (r Ref) aws() string {
	s := "awssm://" + r.Name
	if r.Key != "" {
		s += "#" + url.PathEscape(r.Key)
	}
	q := url.Values{}
	if r.Stage != CurrentStage && r.Stage != "" {
		q.Set("stage", r.Stage)
	}
	if r.Region != "" && !r.IsARN() {
		q.Set("region", r.Region)
	}
	if len(q) > 0 {
		s += "?" + q.Encode()
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: a Ref can be the type of a flag. Empty text names no secret.
func (r *Ref) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*r = Ref{}
		return nil
	}
	*r, err = Parse(string(text))
	return err
}
