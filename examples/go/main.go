// A caller of Latchkey, with a command for each thing that a caller does:
//
//	get ACCOUNT [SCOPE…]       a token, whose length is printed
//	replace ACCOUNT VERSION    the token after one that the provider's API answered with 401
//	watch ACCOUNT              changes, until the account provides no token any more
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	tokenv1 "latchkey.example/caller/stubs/latchkey/token/v1"
)

const usage = "usage: get ACCOUNT [SCOPE…] | replace ACCOUNT VERSION | watch ACCOUNT"

func main() {
	err := run(context.Background(), os.Args[1:])
	var failed *failure
	switch {
	case errors.As(err, &failed):
		fmt.Printf("%v\n→ %s\n", failed, explain(failed))
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) < 2 {
		return errors.New(usage)
	}
	s, err := readSettings()
	if err != nil {
		return err
	}
	connection, err := connect(s)
	if err != nil {
		return err
	}
	defer connection.Close()
	t := tokens{tokenv1.NewTokenServiceClient(connection)}
	command, account, rest := arguments[0], arguments[1], arguments[2:]
	switch {
	case command == "get":
		return printToken(t.get(ctx, account, rest))
	case command == "replace" && len(rest) == 1:
		refused, err := strconv.ParseInt(rest[0], 10, 64)
		if err != nil {
			return err
		}
		return printToken(t.replaceAfter401(ctx, account, refused))
	case command == "watch":
		return t.watch(ctx, account, printChange)
	default:
		return errors.New(usage)
	}
}

// printChange returns false if the account provides no token any more.
func printChange(change *tokenv1.WatchAccountResponse) bool {
	about := change.Reason
	if change.Token != nil {
		about = describe(change.Token)
	}
	state := strings.TrimPrefix(change.State.String(), "ACCOUNT_STATE_")
	fmt.Println(strings.TrimSpace(fmt.Sprintf("%s version %d %s", state, change.Version, about)))
	return change.State == tokenv1.AccountState_ACCOUNT_STATE_ACTIVE
}

// explain says what a product does about each failure.
func explain(f *failure) string {
	switch f.kind {
	case signInAgain:
		if len(f.missingScopes) > 0 {
			return "ask the person to grant " + strings.Join(f.missingScopes, " ")
		}
		return "stop the account's work and ask the person to sign in again"
	case retryLater:
		return "put the job back into its queue"
	case notFound:
		return "forget the account"
	case notAllowed:
		return "ask the operator for a rule, a certificate or a token"
	case invalidRequest:
		return "correct this program"
	default:
		return "tell the operator; the person need not do anything"
	}
}

func readSettings() (settings, error) {
	s := settings{tokenFile: os.Getenv("LATCHKEY_CALLER_TOKEN_FILE")}
	for name, value := range map[string]*string{
		"LATCHKEY_TOKEN_ADDRESS": &s.address,
		"LATCHKEY_TOKEN_CA":      &s.authority,
		"LATCHKEY_TOKEN_CERT":    &s.certificate,
		"LATCHKEY_TOKEN_KEY":     &s.key,
	} {
		if *value = os.Getenv(name); *value == "" {
			return s, fmt.Errorf("set %s", name)
		}
	}
	return s, nil
}

func printToken(token *tokenv1.AccessToken, err error) error {
	if err == nil {
		fmt.Printf("version %d %s\n", token.Version, describe(token))
	}
	return err
}

// describe never prints the token itself.
func describe(token *tokenv1.AccessToken) string {
	left := time.Until(token.ExpiresAt.AsTime()).Round(time.Second)
	return fmt.Sprintf("%s token of %d characters for %.0f s", token.TokenType, len(token.AccessToken), left.Seconds())
}
