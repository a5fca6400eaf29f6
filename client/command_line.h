// CommandLine: what `penstock` was asked to do. The grammar is published (contracts/interface.md,
// section 8): scripts rely on it.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace penstock::client {

// The exit statuses of every verb.
enum class Exit : int { done = 0, failed = 1, usage = 2, not_found = 3, refused = 4 };

enum class Output { text, json, jsonl };

enum class Verb { none, fsck, export_objects, import_objects, token_new, not_built };

struct CommandLine {
    Verb verb = Verb::none;
    std::string verb_name;
    Output output = Output::text;
    std::string server;  // a URL or unix:PATH

    std::string directory;
    std::vector<std::string> more_directories;  // the node's other mountpaths
    std::string stream;                         // a file, or "-"
    std::string adopted;                        // import --adopt: a directory of files
    std::string bucket;
    std::string token_name, role, token_file;  // token new
    std::vector<std::string> buckets;
    uint64_t copy_below_bytes = 0;
    bool resumes = false;
    bool removes_damaged = false;
    bool shows_progress = false;
};

// What the process ends with at once, instead: the text goes to standard output if `status` is
// `done` (help, version), else to standard error.
struct Ending {
    Exit status = Exit::done;
    std::string text;
};

// Fills `into`; or says how to end.
std::optional<Ending> parse_command_line(int count, const char* const* values, CommandLine& into);

}  // namespace penstock::client
