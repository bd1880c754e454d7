package entra

import (
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/verdict-authz/verdict/server/policy"
)

// Guest says whether a user is at home in the tenant.
type Guest uint8

// What a token can say of it. Only a token that says so makes a member.
const (
	GuestUnknown Guest = iota
	GuestNo
	GuestYes
)

// Token is what a proven token says. It shares no memory with the token, and logs and prints as "[token]".
type Token struct {
	Principal   policy.Principal // Groups is empty when Overage is set
	DisplayName string           // for people, at most 256 bytes; never compared

	TokenID   string // uti; "" when absent
	SessionID string // sid; "" when absent

	IssuedAt  time.Time
	NotBefore time.Time
	ExpiresAt time.Time // exp itself; the token is accepted until Config.Skew later

	// Overage says that the token does not hold the groups and that they must be had elsewhere; it never means none.
	Overage bool
	// GroupsPresent says that the token holds a list of groups. Without it and Overage the tenant does not send groups.
	GroupsPresent bool

	AuthContexts []string  // acrs
	AuthTime     time.Time // zero when absent, which is not fresh
	CanChallenge bool      // xms_cc has cp1: the client understands a claims challenge
	ClientAuth   string    // azpacr: "0" public client, "1" secret, "2" certificate; "" when absent
	Guest        Guest
	Provider     string // name of the provider that proved it

	OnPremSID string // onprem_sid, the user's security identifier in Active Directory; "" when absent or not one
	Username  string // upn, for finding the user in a directory; it can change hands, so it is never compared
	Agent     Agent
}

const hidden = "[token]"

// LogValue hides the token.
func (t Token) LogValue() slog.Value { return slog.StringValue(hidden) }

// String hides the token.
func (t Token) String() string { return hidden }

// GoString hides the token.
func (t Token) GoString() string { return hidden }

// token makes the result of claims that passed every step.
func (c *claims) token(t *tenant, kind policy.PrincipalKind) *Token {
	tok := &Token{
		Principal: policy.Principal{
			Kind:     kind,
			TenantID: t.id,
			ObjectID: string(c.oid),
			ClientID: string(c.client()),
			Roles:    copyTexts(c.roles),
			WIDs:     lowerGUIDs(copyTexts(c.wids)),
		},
		DisplayName:   c.displayName(),
		TokenID:       string(c.uti),
		SessionID:     string(c.sid),
		IssuedAt:      time.Unix(c.iat, 0).UTC(),
		NotBefore:     time.Unix(c.nbf, 0).UTC(),
		ExpiresAt:     time.Unix(c.exp, 0).UTC(),
		Overage:       c.groupsElsewhere,
		GroupsPresent: c.seen[claimGroups] && !c.groupsElsewhere,
		AuthContexts:  copyTexts(c.acrs),
		ClientAuth:    string(c.azpacr),
		Guest:         c.guest(t),
		Provider:      t.provider.Name,
		Username:      hintText(c.upn),
		Agent:         c.agent(),
	}
	if sid := string(c.onPremSID); policy.IsSID(sid) {
		tok.OnPremSID = sid
	}
	if kind == policy.PrincipalUser {
		tok.Principal.Scopes = splitScopes(string(c.scp))
	}
	if !c.groupsElsewhere { // a list beside an overage marker is not the whole one
		tok.Principal.Groups = lowerGUIDs(copyTexts(c.groups))
	}
	if c.seen[claimAuthTime] {
		tok.AuthTime = time.Unix(c.authTime, 0).UTC()
	}
	for _, capability := range c.xms {
		if strings.EqualFold(string(capability), "cp1") {
			tok.CanChallenge = true
		}
	}
	return tok
}

// displayName is the first of name, preferred_username and app_displayname that can be shown.
func (c *claims) displayName() string { return displayName(c.name, c.username, c.app) }

func displayName(names ...[]byte) string {
	const longest = 256
	for _, name := range names {
		if len(name) == 0 || strings.ContainsFunc(string(name), unicode.IsControl) {
			continue
		}
		if len(name) > longest {
			name = name[:longest]
			for len(name) > 0 && !utf8.Valid(name) { // at most three bytes of a cut character
				name = name[:len(name)-1]
			}
		}
		return string(name)
	}
	return ""
}

// guest reads three hints; any that says guest is believed, and only acct can say member.
func (c *claims) guest(t *tenant) Guest {
	if c.seen[claimACCT] && c.acct == 1 {
		return GuestYes
	}
	for _, relation := range splitScopes(string(c.xmsIDRel)) {
		if relation == "5" {
			return GuestYes
		}
	}
	if idp := string(c.idp); idp != "" && idp != t.issuerV2 && idp != t.issuerV1 {
		return GuestYes
	}
	if c.seen[claimACCT] && c.acct == 0 {
		return GuestNo
	}
	return GuestUnknown
}

// splitScopes splits on U+0020 only; other white space belongs to a scope, which then matches nothing.
func splitScopes(text string) []string {
	if text == "" {
		return nil
	}
	scopes := make([]string, 0, 1+strings.Count(text, " "))
	for scope := range strings.SplitSeq(text, " ") {
		if scope != "" {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// copyTexts copies views into strings that share one allocation.
func copyTexts(views [][]byte) []string {
	if len(views) == 0 {
		return nil
	}
	var all strings.Builder
	size := 0
	for _, v := range views {
		size += len(v)
	}
	all.Grow(size)
	for _, v := range views {
		all.Write(v)
	}
	rest := all.String()
	texts := make([]string, len(views))
	for i, v := range views {
		texts[i], rest = rest[:len(v)], rest[len(v):]
	}
	return texts
}

// lowerGUIDs brings GUIDs to the form that grants hold, so that a deny cannot be missed by case. Other texts stay.
func lowerGUIDs(ids []string) []string {
	for i, id := range ids {
		if _, upper := isGUID(id); upper {
			ids[i] = strings.ToLower(id)
		}
	}
	return ids
}
