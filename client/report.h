// Report: what a verb prints: text for people, JSON for scripts (contracts/interface.md, section
// 8). With --json or --jsonl nothing else goes to standard output.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "client/command_line.h"
#include "io/base/result.h"
#include "node/offline.h"

namespace penstock::client {

// Which exit status an error of a whole call is.
Exit exit_of(Errc code);

// "penstock: TEXT" or {"error":{"code","message"}} on standard error; gives `status`.
Exit refuse(Output output, Exit status, std::string_view code, std::string_view text);
Exit refuse(Output output, const Error& error);

// Problems and the sum, to `stream`; the status that they amount to. `verb`: "fsck".
Exit print_summary(Output output, std::string_view verb, const OfflineSummary& summary,
                   std::FILE* stream);

// A line about how far it is, on standard error: one that is written over on a terminal.
void print_progress(std::string_view verb, const OfflineSummary& summary, bool is_terminal);

// With quotes; bytes that are not UTF-8 become U+FFFD.
std::string json_text(std::string_view text);

}  // namespace penstock::client
