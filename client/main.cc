// penstock: the command line.
#include <fmt/format.h>

#include <csignal>

#include "client/command_line.h"
#include "client/offline_verbs.h"
#include "client/report.h"

int main(int count, char** values) {
    using namespace penstock::client;
    // A pipe whose reader is gone is an error of a write, with a sentence.
    std::signal(SIGPIPE, SIG_IGN);
    CommandLine line;
    if (const std::optional<Ending> ending = parse_command_line(count, values, line)) {
        if (ending->status != Exit::done) {
            return static_cast<int>(refuse(line.output, ending->status, "usage", ending->text));
        }
        fmt::print("{}", ending->text);
        return 0;
    }
    switch (line.verb) {
        case Verb::fsck:
            return static_cast<int>(run_fsck(line));
        case Verb::export_objects:
            return static_cast<int>(run_export(line));
        case Verb::import_objects:
            return static_cast<int>(run_import(line));
        case Verb::token_new:
            return static_cast<int>(run_token_new(line));
        case Verb::none:
        case Verb::not_built:
            break;
    }
    return static_cast<int>(refuse(line.output, Exit::failed, "not_implemented",
                                   "penstock " + line.verb_name + " is not implemented yet"));
}
