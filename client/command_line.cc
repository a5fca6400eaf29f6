#include "client/command_line.h"

#include <CLI/CLI.hpp>

#include <array>

namespace penstock::client {
namespace {

// In the grammar, and not built yet: they say so, rather than be unknown.
constexpr std::array not_built = {
    "up",    "status",     "bucket",  "put",  "get",   "cat",        "ls",
    "rm",    "cp",         "mv",      "stat", "job",   "completion", "archive",
    "shard", "gen-shards", "cluster", "node", "scrub", "rebalance",  "etl"};

void declare_more(CLI::App& verb, CommandLine& line) {
    verb.add_option("--data", line.more_directories,
                    "Another mountpath of the same node; all of them must be given")
        ->type_name("DIR")
        ->allow_extra_args(false);
}

void declare_fsck(CLI::App& app, CommandLine& line) {
    CLI::App* verb =
        app.add_subcommand("fsck", "Checks every byte of a data directory that no server has open");
    verb->add_option("DIR", line.directory, "The data directory")->required();
    verb->add_flag("--remove-damaged", line.removes_damaged,
                   "Removes damaged objects; else they are kept and answer an error");
    declare_more(*verb, line);
    verb->callback([&line] { line.verb = Verb::fsck; });
}

void declare_export(CLI::App& app, CommandLine& line) {
    CLI::App* verb = app.add_subcommand(
        "export", "Writes all objects of a data directory as one TAR, with their metadata");
    verb->add_option("DIR", line.directory, "The data directory")->required();
    verb->add_option("OUT", line.stream, "A file, or - for standard output")->required();
    verb->add_flag("--resume", line.resumes, "Goes on with an export that was interrupted");
    declare_more(*verb, line);
    verb->callback([&line] { line.verb = Verb::export_objects; });
}

void declare_import(CLI::App& app, CommandLine& line) {
    CLI::App* verb = app.add_subcommand(
        "import", "Takes objects into a data directory: from a TAR, or a directory's files");
    verb->add_option("DIR", line.directory, "The data directory; made if it is missing")
        ->required();
    CLI::Option* stream = verb->add_option("IN", line.stream, "A TAR, or - for standard input");
    verb->add_option("--adopt", line.adopted,
                     "Makes the files below this directory objects, by hard links where the file "
                     "system has them; nobody may write to those files any more")
        ->excludes(stream);
    verb->add_option("--bucket", line.bucket,
                     "Where objects go; else the first part of each name is the bucket");
    verb->add_option("--copy-below", line.copy_below_bytes,
                     "With --adopt: smaller files (bytes) are copied, which makes them quicker to "
                     "read")
        ->needs("--adopt");
    verb->add_flag("--resume", line.resumes,
                   "Passes over objects that are there already with the same size, time, checksum "
                   "and metadata");
    declare_more(*verb, line);
    verb->callback([&line] { line.verb = Verb::import_objects; });
}

void declare_token(CLI::App& app, CommandLine& line) {
    CLI::App* token = app.add_subcommand("token", "Access tokens of a node");
    token->require_subcommand(1);
    CLI::App* verb = token->add_subcommand(
        "new", "Makes a token, prints it once, and appends its hash to the node's list");
    verb->add_option("NAME", line.token_name, "Whose it is")->required();
    verb->add_option("--role", line.role, "read, read-write or admin")
        ->required()
        ->check(CLI::IsMember({"read", "read-write", "admin"}));
    verb->add_option("--bucket", line.buckets, "A bucket it is for; else all (again for more)");
    verb->add_option("--file", line.token_file, "The list ([access] tokens_file)")->required();
    verb->callback([&line] { line.verb = Verb::token_new; });
}

void declare_others(CLI::App& app, CommandLine& line) {
    for (const char* name : not_built) {
        CLI::App* verb = app.add_subcommand(name, "Not built yet");
        verb->fallthrough(false);
        verb->allow_extras();
        verb->prefix_command();
        verb->group("Not built yet");
        verb->callback([&line, name] {
            line.verb = Verb::not_built;
            line.verb_name = name;
        });
    }
}

}  // namespace

std::optional<Ending> parse_command_line(int count, const char* const* values, CommandLine& into) {
    CLI::App app("penstock: works with objects of Penstock, storage for machine-learning data",
                 "penstock");
    bool wants_json = false;
    bool wants_lines = false;
    bool wants_version = false;
    app.add_option("--server", into.server, "A URL or unix:PATH")->envname("PENSTOCK_SERVER");
    CLI::Option* json = app.add_flag("--json", wants_json, "One JSON document on standard output");
    app.add_flag("--jsonl", wants_lines, "A line of JSON for each item")->excludes(json);
    app.add_flag("--progress", into.shows_progress, "Says how far it is, also without a terminal");
    app.add_flag("--version", wants_version, "Prints the version");
    app.require_subcommand(0, 1);
    app.fallthrough();
    declare_fsck(app, into);
    declare_export(app, into);
    declare_import(app, into);
    declare_token(app, into);
    declare_others(app, into);
    try {
        app.parse(count, values);
    } catch (const CLI::CallForHelp&) {
        return Ending{Exit::done, app.help()};
    } catch (const CLI::ParseError& error) {
        return Ending{Exit::usage, error.what()};
    }
    into.output = wants_json ? Output::json : wants_lines ? Output::jsonl : Output::text;
    if (wants_version) return Ending{Exit::done, "penstock " PENSTOCK_VERSION "\n"};
    if (into.verb == Verb::none) return Ending{Exit::usage, "which verb? See penstock --help"};
    const bool has_source = !into.stream.empty() || !into.adopted.empty();
    if (into.verb == Verb::import_objects && !has_source) {
        return Ending{Exit::usage, "import: give a TAR (or -), or --adopt DIR"};
    }
    return std::nullopt;
}

}  // namespace penstock::client
