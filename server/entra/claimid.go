package entra

// claimID numbers the claims that are read.
type claimID uint8

const (
	claimISS claimID = iota
	claimAUD
	claimTID
	claimOID
	claimVER
	claimAZP
	claimAPPID
	claimAZPACR
	claimAPPIDACR
	claimIDTYP
	claimSCP
	claimUTI
	claimSID
	claimTFP
	claimACR
	claimIDP
	claimXMSIDRel
	claimName
	claimUsername
	claimApp
	claimUPN
	claimOnPremSID
	claimSubFct
	claimActFct
	claimParent
	claimIAT
	claimNBF
	claimEXP
	claimAuthTime
	claimACCT
	claimRoles
	claimWIDs
	claimACRs
	claimXMSCC
	claimGroups
	claimHasGroups
	claimClaimNames
	claimCNF
	claimNonce
	claimATHash
	claimCHash
	claimCount int     = iota
	noClaim    claimID = 255
)

var claimNames = [claimCount]string{
	claimISS: "iss", claimAUD: "aud", claimTID: "tid", claimOID: "oid", claimVER: "ver",
	claimAZP: "azp", claimAPPID: "appid", claimAZPACR: "azpacr", claimAPPIDACR: "appidacr",
	claimIDTYP: "idtyp", claimSCP: "scp", claimUTI: "uti", claimSID: "sid", claimTFP: "tfp", claimACR: "acr",
	claimIDP: "idp", claimXMSIDRel: "xms_idrel",
	claimName: "name", claimUsername: "preferred_username", claimApp: "app_displayname",
	claimUPN: "upn", claimOnPremSID: "onprem_sid",
	claimSubFct: "xms_sub_fct", claimActFct: "xms_act_fct", claimParent: "xms_par_app_azp",
	claimIAT: "iat", claimNBF: "nbf", claimEXP: "exp", claimAuthTime: "auth_time", claimACCT: "acct",
	claimRoles: "roles", claimWIDs: "wids", claimACRs: "acrs", claimXMSCC: "xms_cc",
	claimGroups: "groups", claimHasGroups: "hasgroups", claimClaimNames: "_claim_names",
	claimCNF: "cnf", claimNonce: "nonce", claimATHash: "at_hash", claimCHash: "c_hash",
}

var claimIDs = func() map[string]claimID {
	ids := make(map[string]claimID, claimCount)
	for i, name := range claimNames {
		ids[name] = claimID(i)
	}
	return ids
}()

// display says that a claim is shown to people or kept as a hint: nothing depends on it, so a wrong type makes it absent.
func (id claimID) display() bool {
	switch id {
	case claimName, claimUsername, claimApp, claimIDP, claimXMSIDRel, claimUPN, claimOnPremSID,
		claimSubFct, claimActFct, claimParent:
		return true
	}
	return false
}

// textOf is where the text of a claim goes; nil when the claim is not text.
func (c *claims) textOf(id claimID) *[]byte {
	switch id {
	case claimISS:
		return &c.iss
	case claimAUD:
		return &c.aud
	case claimTID:
		return &c.tid
	case claimOID:
		return &c.oid
	case claimVER:
		return &c.ver
	case claimAZP:
		return &c.azp
	case claimAPPID:
		return &c.appid
	case claimAZPACR, claimAPPIDACR:
		return &c.azpacr
	case claimIDTYP:
		return &c.idtyp
	case claimSCP:
		return &c.scp
	case claimUTI:
		return &c.uti
	case claimSID:
		return &c.sid
	case claimTFP:
		return &c.tfp
	case claimACR:
		return &c.acr
	case claimIDP:
		return &c.idp
	case claimXMSIDRel:
		return &c.xmsIDRel
	case claimName:
		return &c.name
	case claimUsername:
		return &c.username
	case claimApp:
		return &c.app
	case claimUPN:
		return &c.upn
	case claimOnPremSID:
		return &c.onPremSID
	case claimSubFct:
		return &c.subFct
	case claimActFct:
		return &c.actFct
	case claimParent:
		return &c.parent
	}
	return nil
}

// numberOf is where the integer of a claim goes; nil when the claim is not a number.
func (c *claims) numberOf(id claimID) *int64 {
	switch id {
	case claimIAT:
		return &c.iat
	case claimNBF:
		return &c.nbf
	case claimEXP:
		return &c.exp
	case claimAuthTime:
		return &c.authTime
	case claimACCT:
		return &c.acct
	}
	return nil
}
