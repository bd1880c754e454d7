package doctor

import (
	"fmt"
	"time"
)

const (
	longestLife  = 28 * time.Hour
	milliseconds = 100_000_000_000 // seconds: the year 5138; as milliseconds, 1973
)

// times looks at exp, nbf and iat by this machine's clock.
func (x *exam) times(name, checked string) Step {
	iat, okIAT := x.claims.whole("iat")
	nbf, okNBF := x.claims.whole("nbf")
	exp, okEXP := x.claims.whole("exp")
	if !okIAT || !okNBF || !okEXP {
		return skipped(name, checked, "iat, nbf or exp cannot be read, see claims")
	}
	if exp > milliseconds || iat > milliseconds || nbf > milliseconds {
		return fail(name, checked, "times in milliseconds", "whoever made this token counts in milliseconds; Entra counts in seconds", "ask Entra for a token of your api")
	}
	now, skew := x.now.Unix(), int64(x.d.skew/time.Second)
	found := fmt.Sprintf("issued %s, expires %s", at(iat), at(exp))
	const clocks = "the clock of this machine or of the issuer is off, see clock"
	switch {
	case now >= exp+skew:
		return fail(name, checked, fmt.Sprintf("%s, %s ago", found, span(now-exp)), "the client keeps a token beyond its life; if it is fresh, "+clocks,
			"let the client renew it before expires_in has passed; if it is fresh, set the clock")
	case nbf > exp:
		return fail(name, checked, found+"; nbf is after exp", "Entra did not issue this token", "ask Entra for a token of your api")
	case nbf > now+skew || iat > now+skew:
		return fail(name, checked, fmt.Sprintf("%s; valid in %s", found, span(max(nbf, iat)-now)), clocks, "set the clock; --clock-skew may be up to 300s and only hides it")
	case exp-iat > int64(longestLife/time.Second)+skew:
		return fail(name, checked, fmt.Sprintf("%s, a life of %s", found, span(exp-iat)), "a token lifetime policy gives it more than 28 hours",
			"Entra, token lifetime policies of the tenant (Microsoft Graph, tokenLifetimePolicies): at most 24 hours")
	case now >= exp:
		return warn(name, checked, found+", which the clock skew still allows", "it has just expired", "renew it")
	}
	return ok(name, checked, fmt.Sprintf("%s, in %s", found, span(exp-now)))
}

// at is an instant for people; what cannot be a time of a token is only said to be strange.
func at(seconds int64) string {
	if seconds < 0 || seconds > milliseconds {
		return "at a strange time"
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

// span is a number of seconds for people.
func span(seconds int64) string {
	const most = int64(1<<63-1) / int64(time.Second)
	return (time.Duration(min(seconds, most)) * time.Second).String()
}
