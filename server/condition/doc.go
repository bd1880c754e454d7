// Package condition compiles the conditions of routes and grants, which are written in CEL (docs/conditions.md), to
// policy.Condition.
//
// Compile refuses, with a message for the person who wrote the source, whatever could fail or cost too much later on:
// names that do not exist, results that are not bool, regular expressions, networks and time zones that are not literal
// or not valid, and expressions whose worst case is above the cost limit. What was compiled is safe for concurrent use.
//
// Holds reads a policy.Input and nothing else: no clock, no environment, no state of an earlier evaluation. It stops at
// the cost limit. Its errors are a closed list and carry no value of a claim, a parameter or the request. What an error
// means, no match in an allow and a match in a deny, is for package policy to say.
package condition
