package stsidentity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Config says which token is wanted. Audience is required, the rest has defaults.
type Config struct {
	Audience    string                  // what verdict is configured to expect
	Region      string                  // whose STS is asked; "": AWS_REGION. The global endpoint does not make these tokens
	Endpoint    string                  // URL of STS; "": AWS_ENDPOINT_URL_STS, else that of the region
	Life        time.Duration           // of a token, 1 minute to 1 hour; 0 means 5m
	Credentials aws.CredentialsProvider // of the role; nil: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN
	HTTP        *http.Client            // nil: one with a timeout of 2s that follows no redirect
	Now         func() time.Time        // nil means time.Now
}

// Source gets tokens and keeps each for four fifths of its life. It is gRPC per-RPC credentials, and safe for concurrent use.
type Source struct {
	cfg    Config
	signer *v4.Signer

	mu     sync.Mutex // held while a token is fetched: others wait for it
	token  string
	renew  time.Time // from when on a new one is wanted
	again  time.Time // from when on it is wanted again after STS did not give one
	expiry time.Time
}

// New checks cfg and makes a Source. It fetches nothing yet.
func New(cfg Config) (*Source, error) {
	if cfg.Region == "" {
		cfg.Region = os.Getenv("AWS_REGION")
	}
	if cfg.Life == 0 {
		cfg.Life = 5 * time.Minute
	}
	var err error
	if cfg.Audience == "" {
		err = errors.Join(err, errors.New("no audience; give what verdict expects"))
	}
	if cfg.Life < time.Minute || cfg.Life > time.Hour || cfg.Life%time.Second != 0 {
		err = errors.Join(err, fmt.Errorf("life %s: not whole seconds within 1m and 1h", cfg.Life))
	}
	var endpointErr error
	cfg.Endpoint, endpointErr = endpoint(cfg.Endpoint, cfg.Region)
	if err = errors.Join(err, endpointErr); err != nil {
		return nil, fmt.Errorf("stsidentity: %w", err)
	}
	if cfg.Credentials == nil {
		cfg.Credentials = aws.CredentialsProviderFunc(fromEnvironment)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 2 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Source{cfg: cfg, signer: v4.NewSigner()}, nil
}

// endpointVariable is AWS's own: programs that use its SDK ask the STS that it names.
const endpointVariable = "AWS_ENDPOINT_URL_STS"

// endpoint is the URL of STS, without a slash at its end. What is sent there is signed for the region, and what comes back lets
// its reader ask verdict, so that it is not read on the way beyond this machine.
func endpoint(given, region string) (string, error) {
	name := "endpoint"
	if given == "" {
		given, name = os.Getenv(endpointVariable), endpointVariable
	}
	suffix, known := suffixOf(region)
	switch {
	case !known && (given == "" || region == ""):
		return "", fmt.Errorf("region %q: not one that has an STS known here; set AWS_REGION", region)
	case given == "":
		return "https://sts." + region + "." + suffix, nil
	}
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%s: not the URL of an STS, such as https://sts.eu-central-1.amazonaws.com", name)
	}
	address, _ := netip.ParseAddr(u.Hostname())
	if u.Scheme != "https" && (u.Scheme != "http" || !address.IsLoopback()) {
		return "", fmt.Errorf("%s: want https; http only to an address of loopback", name)
	}
	return strings.TrimRight(given, "/"), nil
}

// suffixOf is the DNS suffix of a region's partition (the SDK's endpoint table of STS).
func suffixOf(region string) (suffix string, known bool) {
	for _, p := range []struct{ prefix, suffix string }{
		{"cn-", "amazonaws.com.cn"}, {"us-isob-", "sc2s.sgov.gov"}, {"us-isof-", "csp.hci.ic.gov"}, {"us-iso-", "c2s.ic.gov"}, {"eu-isoe-", "cloud.adc-e.uk"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.suffix, true
		}
	}
	return "amazonaws.com", strings.Count(region, "-") >= 2
}

// fromEnvironment reads what Lambda gives a function.
func fromEnvironment(context.Context) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return c, errors.New("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: not set")
	}
	return c, nil
}

// Header is the gRPC metadata that a token travels in.
const Header = "authorization"

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (s *Source) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := s.Token(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{Header: "Bearer " + token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: who reads the token can ask as this role.
func (*Source) RequireTransportSecurity() bool { return true }

const (
	margin   = 10 * time.Second       // a token that ends sooner is not shown any more
	patience = 500 * time.Millisecond // longest that STS is waited for while there is a token yet: the question has to be asked, too
	tryAgain = 10 * time.Second       // after which it is asked again then
)

// Token returns a token that is good for a while yet, a new one if need be. When STS does not answer, one that has not ended
// still serves.
func (s *Source) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now().Round(0) // the wall clock: a frozen process wakes up with tokens that have ended
	good := now.Before(s.expiry.Add(-margin))
	if now.Before(s.renew) || good && now.Before(s.again) {
		return s.token, nil
	}
	if good {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	token, expiry, err := s.fetch(ctx, now)
	switch {
	case err == nil:
		s.token, s.expiry, s.renew = token, expiry, now.Add(expiry.Sub(now)*4/5)
	case good:
		s.again = now.Add(tryAgain)
	default:
		return "", fmt.Errorf("token of AWS STS: %w", err)
	}
	return s.token, nil
}

// answerLimit is the most that is read of an answer; tokens are at most 16 KiB.
const answerLimit = 64 << 10

func (s *Source) fetch(ctx context.Context, now time.Time) (token string, expiry time.Time, err error) {
	form := url.Values{
		"Action": {"GetWebIdentityToken"}, "Version": {"2011-06-15"}, "Audience.member.1": {s.cfg.Audience},
		"SigningAlgorithm": {"RS256"}, "DurationSeconds": {strconv.Itoa(int(s.cfg.Life / time.Second))},
	}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.Endpoint+"/", strings.NewReader(form))
	if err != nil {
		return "", time.Time{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	creds, err := s.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	hash := sha256.Sum256([]byte(form))
	if err := s.signer.SignHTTP(ctx, creds, req, hex.EncodeToString(hash[:]), "sts", s.cfg.Region, now); err != nil {
		return "", time.Time{}, errors.New("the request could not be signed")
	}
	resp, err := s.cfg.HTTP.Do(req)
	if err != nil {
		return "", time.Time{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return "", time.Time{}, err
	}
	return parse(resp.StatusCode, body)
}

// answer is what STS says, in either case.
type answer struct {
	Result struct {
		Token      string    `xml:"WebIdentityToken"`
		Expiration time.Time `xml:"Expiration"`
	} `xml:"GetWebIdentityTokenResult"`
	Code string `xml:"Error>Code"`
}

// parse reads an answer. Of a refusal only the code is passed on.
func parse(code int, body []byte) (token string, expiry time.Time, err error) {
	var a answer
	if err := xml.Unmarshal(body, &a); err != nil {
		return "", time.Time{}, fmt.Errorf("answer %d is not what STS says", code)
	}
	switch {
	case a.Code == "OutboundWebIdentityFederationDisabledException":
		return "", time.Time{}, errors.New("outbound identity federation is not enabled in this account")
	case a.Code == "AccessDenied":
		return "", time.Time{}, errors.New("AccessDenied: the role needs sts:GetWebIdentityToken for this audience")
	case code != http.StatusOK:
		return "", time.Time{}, fmt.Errorf("answer %d %s", code, printable(a.Code))
	case strings.Count(a.Result.Token, ".") != 2 || a.Result.Expiration.IsZero():
		return "", time.Time{}, errors.New("answer without a token")
	}
	return a.Result.Token, a.Result.Expiration, nil
}

// printable is an error code of STS, or nothing.
func printable(code string) string {
	for _, r := range code {
		if (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '.' {
			return ""
		}
	}
	return code
}
