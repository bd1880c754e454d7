package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// csvHeader names the columns; the last three are for the reviewer to fill in.
var csvHeader = []string{
	"reviewed_at", "revision", "api", "subject", "subject_display_name", "grant", "effect", "granted", "permissions", "condition",
	"not_before", "expires_at", "first_used", "last_used", "principals", "unused", "expiring", "expired", "reason", "ticket",
	"decision", "decided_by", "remark",
}

// WriteCSV writes a row a grant under a header row, RFC 4180, UTF-8, instants in UTC as RFC 3339. Lists are separated by
// spaces, which no permission holds. Texts that a spreadsheet would take for a formula have an apostrophe before them.
func WriteCSV(w io.Writer, r *verdictv1.AccessReviewResponse) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(csvHeader); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	at, revision := rfc3339(r.GetAt()), strconv.FormatUint(r.GetRevision(), 10)
	for _, line := range r.GetGrants() {
		g := line.GetGrant()
		row := []string{
			at, revision, g.GetApi(), g.GetSubject(), g.GetSubjectDisplayName(), g.GetId(), effectWord(g.GetEffect()),
			strings.Join(g.GetPermissions(), " "), strings.Join(line.GetPermissions(), " "), g.GetCondition(),
			rfc3339(g.GetNotBefore()), rfc3339(g.GetExpiresAt()), rfc3339(line.GetFirstUsed()), rfc3339(line.GetLastUsed()),
			strconv.FormatUint(line.GetPrincipals(), 10), strconv.FormatBool(line.GetUnused()), strconv.FormatBool(line.GetExpiring()),
			strconv.FormatBool(line.GetExpired()), g.GetReason(), g.GetTicket(),
			"", "", "",
		}
		for i := range row {
			row[i] = cell(row[i])
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// cell is text that no spreadsheet takes for a formula (OWASP, "CSV Injection").
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}

func effectWord(e verdictv1.GrantEffect) string {
	switch e {
	case verdictv1.GrantEffect_GRANT_EFFECT_ALLOW:
		return "allow"
	case verdictv1.GrantEffect_GRANT_EFFECT_DENY:
		return "deny"
	default:
		return "none"
	}
}

// rfc3339 is t in UTC, empty for none.
func rfc3339(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}
