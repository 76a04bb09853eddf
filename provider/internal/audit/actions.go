package audit

// Actions, area.verb. A name that has been written is never given another meaning.
const (
	SignInSuccess = "sign_in.success"
	SignInFailure = "sign_in.failure"
	SignInRefused = "sign_in.refused" // right credentials, but a rule said no
	SignInLocked  = "sign_in.locked"

	SessionEnd     = "session.end"
	SessionEndAll  = "session.end_all"
	SessionReplace = "session.replace" // signed in again in the same browser

	TokenIssue   = "token.issue"
	TokenRefresh = "token.refresh"
	TokenReuse   = "token.reuse" // a spent refresh token or code came back
	TokenRevoke  = "token.revoke"
	TokenRefused = "token.refused"
	CodeIssue    = "code.issue"

	ConsentGive   = "consent.give"
	ConsentDeny   = "consent.deny"
	ConsentRevoke = "consent.revoke"

	ClientAuthFailure = "client.authentication_failure"

	AgentCreate     = "agent.create"
	AgentUpdate     = "agent.update"
	AgentDeactivate = "agent.deactivate"
	AgentActivate   = "agent.activate"
	AgentInvite     = "agent.invite"
	AgentUnlock     = "agent.unlock"
	AgentDelete     = "agent.delete"
	AgentErase      = "agent.erase"
	PasswordChange  = "password.change"
	PasswordRehash  = "password.rehash"
	PasswordForgot  = "password.forgot" // a link was sent

	FactorAdd          = "factor.add"
	FactorRemove       = "factor.remove"
	FactorRename       = "factor.rename"
	FactorReset        = "factor.reset"           // all of an agent's, by an administrator
	FactorClone        = "factor.clone_suspected" // a passkey's counter did not go up
	RecoveryCodesRenew = "recovery_codes.renew"
	DeviceRemember     = "device.remember"
	DeviceForget       = "device.forget"
	DeviceStolen       = "device.stolen" // an old copy of its cookie was used

	RoleCreate       = "role.create"
	RoleUpdate       = "role.update"
	RoleDelete       = "role.delete"
	DepartmentCreate = "department.create"
	DepartmentUpdate = "department.update"
	DepartmentDelete = "department.delete"
	ClientCreate     = "client.create"
	ClientUpdate     = "client.update"
	ClientDelete     = "client.delete"
	ClientSecret     = "client.secret"

	SiteCreate     = "site.create"
	SiteApply      = "site.apply"
	SettingsUpdate = "settings.update"
	SetUpFinish    = "set_up.finish"

	KeyCreate   = "key.create"
	KeyRotate   = "key.rotate"
	KeyWithdraw = "key.withdraw"

	BreakGlassLift  = "break_glass.lift"
	BreakGlassUse   = "break_glass.use" // an offline code, right or wrong
	BreakGlassEnd   = "break_glass.end"
	BreakGlassCodes = "break_glass.codes" // offline codes were made

	DomainProve = "domain.prove" // its DNS says that it is the site's

	FederationRefused  = "federation.refused" // a login elsewhere did not hold
	FederationVisitor  = "federation.visitor" // a visitor was vouched for
	ConnectionCreate   = "connection.create"
	ConnectionUpdate   = "connection.update"
	ConnectionDelete   = "connection.delete"
	ConnectionRehearse = "connection.rehearse" // an administrator signed in through it
	ConnectionEnding   = "connection.certificate_ending"
	ConnectionRollOver = "connection.roll_over" // our key pair for it
	AgentLink          = "agent.link"           // to a subject of a connection
	AgentUnlink        = "agent.unlink"

	VisitorBan     = "visitor.ban"
	VisitorUnban   = "visitor.unban"
	VisitorErase   = "visitor.erase"
	VisitorSignIn  = "visitor.sign_in"  // one is known by a token of the customer's, or by their login
	VisitorSignOut = "visitor.sign_out" // at the customer's own login
	VisitorUpgrade = "visitor.upgrade"  // an anonymous one became one who is known
	VisitorMerge   = "visitor.merge"    // two who are known were shown to be one
	VisitorRefused = "visitor.refused"

	MailFail = "mail.fail" // given up, or dropped

	BackupMake    = "backup.make"
	BackupRestore = "backup.restore"
	AuditExport   = "audit.export"
)

// Results.
const (
	Success = "success"
	Refused = "refused" // a rule or a wrong proof
	Failed  = "failed"  // something broke
)
