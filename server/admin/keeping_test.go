package admin_test

import (
	"testing"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/store"
)

const (
	strict = verdictv1.AuditDurability_AUDIT_DURABILITY_STRICT
	syncDB = verdictv1.AuditDurability_AUDIT_DURABILITY_SYNC_DB
	count  = verdictv1.OnAuditFailure_ON_AUDIT_FAILURE_COUNT
)

func TestADocumentSaysWhatAnAPIAsksForItsRecords(t *testing.T) {
	svc, _ := seeded(t)
	p := document()
	p.GetApis()[0].AuditDurability, p.GetApis()[0].OnAuditFailure = strict, count
	if got := apply(t, svc, p).GetChanges(); got.GetTotal() != 1 || got.GetUpdated()[0] != "api/orders" {
		t.Errorf("applied, it changes %v", got)
	}
	if got := apply(t, svc, p).GetChanges(); got.GetTotal() != 0 {
		t.Errorf("applied again, it changes %v", got)
	}
	exported, err := svc.ExportPolicy(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := exported.GetPolicy().GetApis()[0]; a.GetAuditDurability() != strict || a.GetOnAuditFailure() != count {
		t.Errorf("exported as %v", a)
	}
	if got := apply(t, svc, document()).GetChanges(); got.GetTotal() != 1 { // what a document leaves out is not set
		t.Errorf("applied without, it changes %v", got)
	}
}

func TestAnUpdateSaysWhatAnAPIAsksForItsRecords(t *testing.T) {
	svc, st := seeded(t)
	for _, step := range []struct {
		sets    *verdictv1.Api
		mask    []string
		want    verdictv1.AuditDurability
		failure verdictv1.OnAuditFailure
	}{
		{&verdictv1.Api{AuditDurability: syncDB, OnAuditFailure: count}, []string{"audit_durability"}, syncDB, 0},
		{&verdictv1.Api{OnAuditFailure: count}, []string{"on_audit_failure"}, syncDB, count},
		{&verdictv1.Api{AuditDurability: strict, DisplayName: "O"}, []string{"display_name"}, syncDB, count},
		{&verdictv1.Api{}, []string{"audit_durability", "on_audit_failure"}, 0, 0},
	} {
		step.sets.Id = "orders"
		updated, err := svc.UpdateApi(t.Context(), &verdictv1.UpdateApiRequest{Api: step.sets, UpdateMask: &fieldmaskpb.FieldMask{Paths: step.mask}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := svc.GetApi(t.Context(), &verdictv1.GetApiRequest{Id: "orders"})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []*verdictv1.Api{updated.GetApi(), got.GetApi()} {
			if a.GetAuditDurability() != step.want || a.GetOnAuditFailure() != step.failure {
				t.Errorf("after an update of %v: %v", step.mask, a)
			}
		}
	}
	other := ordersAPI()
	other.Id, other.Hosts, other.AuditDurability, other.OnAuditFailure = "other", nil, strict, verdictv1.OnAuditFailure_ON_AUDIT_FAILURE_DENY
	if _, err := svc.CreateApi(t.Context(), &verdictv1.CreateApiRequest{Api: other}); err != nil {
		t.Fatal(err)
	}
	kept, _, err := st.GetAPI(t.Context(), "other")
	if err != nil || kept.AuditDurability != store.AuditStrict || kept.OnAuditFailure != store.AuditFailureDeny {
		t.Errorf("created as %+v, %v", kept, err)
	}
}

// What a newer client asks for must not become the default, which may promise less.
func TestADurabilityThatIsNotKnownIsRefused(t *testing.T) {
	svc, st := seeded(t)
	before := head(t, st)
	for name, spoil := range map[string]func(a *verdictv1.Api){
		"a durability":           func(a *verdictv1.Api) { a.AuditDurability = 99 },
		"what a failure becomes": func(a *verdictv1.Api) { a.OnAuditFailure = 99 },
	} {
		t.Run(name, func(t *testing.T) {
			p := document()
			spoil(p.GetApis()[0])
			if _, err := svc.ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: p}); err == nil {
				t.Error("a document is taken")
			}
			if _, err := svc.UpdateApi(t.Context(), &verdictv1.UpdateApiRequest{Api: p.GetApis()[0]}); err == nil {
				t.Error("an update is taken")
			}
		})
	}
	if got := head(t, st); got != before {
		t.Errorf("revision %d, was %d", got, before)
	}
}
