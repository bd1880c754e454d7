// Package shape writes decision records the one way in which they leave verdict: as verdict.v1.DecisionRecord, and that as a
// line of JSON with the field names of the contract. What it writes it reads back to the same record.
package shape

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/store"
)

// Proto is d as the contract has it. The hash over it is not part of that: who has the record can make it.
func Proto(d *store.Decision) *verdictv1.DecisionRecord {
	effect := verdictv1.Effect_EFFECT_DENY
	if d.Allowed {
		effect = verdictv1.Effect_EFFECT_ALLOW
	}
	return &verdictv1.DecisionRecord{
		Id: d.ID, Time: timestamppb.New(d.At), Effect: effect, Reason: verdictv1.Reason(d.Reason), Detail: d.Detail, Revision: d.Revision,
		PrincipalKind: verdictv1.PrincipalKind(d.PrincipalKind), TenantId: d.TenantID, PrincipalId: d.PrincipalID, ClientId: d.ClientID,
		TokenId: d.TokenID, Api: d.API, Route: d.Route, Template: d.Template, Method: d.Method, Host: d.Host, RawPath: d.RawPath,
		Permissions: d.Permissions, Resource: d.Resource, Grants: d.Grants, Door: d.Door, Pep: d.PEP, Took: durationpb.New(d.Took),
		RequestId: d.RequestID, AgentParent: d.AgentParent, AgentFacets: d.AgentFacets, Subjects: d.Subjects, Scopes: d.Scopes,
		MissingPermissions: d.Missing, SourceIp: d.SourceIP, Instance: d.Instance, Epoch: d.Epoch, Sequence: d.Seq, Repeats: d.Repeats,
		GrantSubjects: d.GrantSubjects,
	}
}

// Record is what Proto was given, but for the hash. ErrInvalid when it cannot be a record.
func Record(p *verdictv1.DecisionRecord) (store.Decision, error) {
	d := store.Decision{
		ID: p.GetId(), At: p.GetTime().AsTime(), Allowed: p.GetEffect() == verdictv1.Effect_EFFECT_ALLOW,
		Detail: p.GetDetail(), Revision: p.GetRevision(), TenantID: p.GetTenantId(), PrincipalID: p.GetPrincipalId(), ClientID: p.GetClientId(),
		TokenID: p.GetTokenId(), API: p.GetApi(), Route: p.GetRoute(), Template: p.GetTemplate(), Method: p.GetMethod(), Host: p.GetHost(),
		RawPath: p.GetRawPath(), Permissions: p.GetPermissions(), Resource: p.GetResource(), Grants: p.GetGrants(), Door: p.GetDoor(),
		PEP: p.GetPep(), Took: p.GetTook().AsDuration(), RequestID: p.GetRequestId(), AgentParent: p.GetAgentParent(),
		AgentFacets: p.GetAgentFacets(), Subjects: p.GetSubjects(), Scopes: p.GetScopes(), Missing: p.GetMissingPermissions(),
		SourceIP: p.GetSourceIp(), Instance: p.GetInstance(), Epoch: p.GetEpoch(), Seq: p.GetSequence(), Repeats: p.GetRepeats(),
		GrantSubjects: p.GetGrantSubjects(),
	}
	reason, kind := int32(p.GetReason()), int32(p.GetPrincipalKind())
	if reason < 0 || reason > math.MaxInt16 || kind < 0 || kind > math.MaxInt16 {
		return store.Decision{}, fmt.Errorf("decision %q: reason %d, principal kind %d: %w", d.ID, reason, kind, store.ErrInvalid)
	}
	d.Reason, d.PrincipalKind = int16(reason), int16(kind)
	return d.Canonical()
}

var (
	names   = protojson.MarshalOptions{UseProtoNames: true}
	lenient = protojson.UnmarshalOptions{DiscardUnknown: true} // of a newer verdict
)

// AppendJSON appends d as one line of JSON, without the line end. Equal records have equal lines.
func AppendJSON(b []byte, d *store.Decision) ([]byte, error) {
	text, err := names.Marshal(Proto(d))
	if err != nil {
		return b, fmt.Errorf("decision %s as JSON: %w", d.ID, err)
	}
	out := bytes.NewBuffer(b)
	if err := json.Compact(out, text); err != nil { // protojson varies its spaces on purpose
		return b, fmt.Errorf("decision %s as JSON: %w", d.ID, err)
	}
	return out.Bytes(), nil
}

// ParseJSON reads a line that AppendJSON wrote.
func ParseJSON(line []byte) (store.Decision, error) {
	var p verdictv1.DecisionRecord
	if err := lenient.Unmarshal(line, &p); err != nil {
		return store.Decision{}, fmt.Errorf("not a decision record: %w", store.ErrInvalid)
	}
	if p.GetTime() == nil || p.GetTime().AsTime().Before(time.Unix(0, 0)) {
		return store.Decision{}, fmt.Errorf("decision %q: no time: %w", p.GetId(), store.ErrInvalid)
	}
	return Record(&p)
}
