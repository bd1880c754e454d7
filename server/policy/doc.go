// Package policy is the vocabulary of verdict and its engine. It owns what subjects, permissions, path templates and
// reasons are, checks a whole policy (Compile) or a change to one (Snapshot.Apply), and answers questions on the
// result.
//
// A Snapshot is immutable: any number of readers may use it while the next one is made from it, and the next one
// shares what did not change. Either a change compiles as a whole or InvalidError lists everything that is wrong.
//
// A question is asked in three steps: CompiledAPI.Match finds the route, Snapshot.Resolve turns the caller into small
// numbers once per request, EvaluateRoute or EvaluatePermission decides. These are pure (no clock, no lock, no I/O),
// allocate nothing, and cost the same for ten routes and for ten thousand, for a hundred grants and for a million.
//
// It does not read tokens, canonicalise requests, store policy or compile expressions: callers bring a proven
// Principal, a canonical path, facts as plain values, and a ConditionCompiler.
package policy
