// Package verdictclient asks verdict from Go: from a Lambda function, whose process is frozen between calls, and from
// services. It imports nothing but gRPC and the contract.
//
// A frozen process cannot keep a connection alive, and what stands between it and verdict forgets the connection meanwhile,
// often without telling. So a connection that was not used for Config.IdleLimit is not trusted: it is dialled anew before
// the question, and so is one on which a question was not answered in time. There is no keepalive, which does nothing while
// frozen and has servers hang up afterwards. A question is tried again when verdict goes away or a connection turns out to be
// dead, and answered within Config.Timeout in all, or failed.
//
// It fails closed: an error means that nothing was decided, and whoever asks must refuse.
package verdictclient
