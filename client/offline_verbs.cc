#include "client/offline_verbs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "client/report.h"
#include "client/stream_file.h"
#include "node/offline.h"

namespace penstock::client {
namespace {

OfflineOptions options_of(const CommandLine& line, std::string_view verb) {
    OfflineOptions options;
    options.directory = line.directory;
    options.more_directories = line.more_directories;
    const bool is_terminal = isatty(STDERR_FILENO) == 1;
    if (line.shows_progress || (is_terminal && line.output == Output::text)) {
        options.on_progress = [verb, is_terminal](const OfflineSummary& summary) {
            print_progress(verb, summary, is_terminal);
        };
    }
    return options;
}

// Prints what came of it.
Exit conclude(const CommandLine& line, std::string_view verb,
              const Result<OfflineSummary>& summary) {
    const bool has_line = line.output == Output::text && isatty(STDERR_FILENO) == 1;
    if (has_line) std::fputc('\n', stderr);  // behind the progress
    if (!summary) return refuse(line.output, summary.error());
    // Where standard output is the TAR's, nothing else goes there.
    const bool is_taken = verb == "export" && line.stream == "-";
    return print_summary(line.output, verb, *summary, is_taken ? stderr : stdout);
}

}  // namespace

Exit run_fsck(const CommandLine& line) {
    return conclude(line, "fsck", fsck(options_of(line, "fsck"), line.removes_damaged));
}

Exit run_export(const CommandLine& line) {
    StreamFile out;
    if (line.resumes && line.stream == "-") {
        return refuse(line.output, Exit::usage, "invalid", "export --resume needs a file");
    }
    const Status opened = out.open_output(line.stream, line.resumes);
    if (!opened) return refuse(line.output, opened.error());
    ExportPosition from;
    if (line.resumes) {
        const Result<ExportPosition> found =
            find_export_position([&out](MutableBytes to) { return out.read(to); });
        if (!found) return refuse(line.output, found.error());
        from = *found;
        const Status cut = out.go_on_at(from.stream_bytes);
        if (!cut) return refuse(line.output, cut.error());
    }
    Result<OfflineSummary> summary = export_objects(
        options_of(line, "export"), from, [&out](Bytes bytes) { return out.write(bytes); });
    if (summary) {
        const Status finished = out.finish();
        if (!finished) summary = fail(finished.error());
    }
    return conclude(line, "export", summary);
}

Exit run_import(const CommandLine& line) {
    if (!line.adopted.empty()) {
        AdoptOptions adopt{line.adopted, line.bucket, line.resumes, line.copy_below_bytes};
        return conclude(line, "import", adopt_files(options_of(line, "import"), adopt));
    }
    StreamFile in;
    const Status opened = in.open_input(line.stream);
    if (!opened) return refuse(line.output, opened.error());
    const ImportOptions import{line.bucket, line.resumes};
    return conclude(line, "import",
                    import_objects(options_of(line, "import"), import,
                                   [&in](MutableBytes to) { return in.read(to); }));
}

Exit run_token_new(const CommandLine& line) {
    const Result<std::string> token =
        add_access_token({line.token_file, line.token_name, line.role, line.buckets});
    if (!token) return refuse(line.output, token.error());
    if (line.output == Output::text) {
        fmt::print("{}\n", *token);
    } else {
        fmt::print("{{\"token\":{}}}\n", json_text(*token));
    }
    return Exit::done;
}

}  // namespace penstock::client
