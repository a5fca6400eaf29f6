// Power cuts: every state that the model of the disk allows, at every call of every flow, must be
// one that the client was promised. The number of states is bounded for CI; PENSTOCK_DEEP=1 lifts
// it a hundredfold.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "node/store/segment.h"
#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

using Value = std::optional<std::string>;  // nullopt: no such object

bool is_deep() {
    return std::getenv("PENSTOCK_DEEP") != nullptr;
}

uint64_t states_max() {
    if (is_deep()) return 2'000'000;
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return 4'000;  // ten times slower there
#endif
#endif
    return 20'000;
}

// What a client may see after a power cut.
struct Oracle {
    std::map<std::string, Value> acknowledged;
    std::map<std::string, std::set<Value>> possible;  // besides: under way, or not made durable
    // What exactly one of two names has, whenever the power goes.
    struct Renaming {
        std::string from;
        std::string to;
        std::string content;
    };
    std::vector<Renaming> renamings;

    bool allows(const std::string& name, const Value& value) const {
        const auto known = acknowledged.find(name);
        if (known == acknowledged.end() ? !value : value == known->second) return true;
        const auto more = possible.find(name);
        return more != possible.end() && more->second.contains(value);
    }
};

// One change, as the flow makes it and the oracle expects it.
struct Step {
    enum class Kind : uint8_t {
        put,
        remove,
        custom,
        compact,
        upload,  // in three parts, one of them put twice
        abort,   // of an upload with two parts
        append,  // what follows `base_bytes` of the content, in two pieces, and a flush
        copy,    // of `from`
        rename,  // of `from`
    } kind = Kind::put;
    std::string name;
    std::string content;
    Durability durability = Durability::group;
    size_t custom_bytes = 0;
    size_t attachment_bytes = 0;
    std::string from;
    size_t base_bytes = 0;
};

class FixedObserver final : public ContentObserver {
public:
    explicit FixedObserver(size_t bytes) : bytes_(bytes) {}
    void observe(Bytes) override {}
    std::vector<std::byte> finish() override { return std::vector<std::byte>(bytes_); }

private:
    size_t bytes_;
};

std::vector<std::vector<Step>> flow() {
    using Kind = Step::Kind;
    const std::string long_name(700, 'n');
    // Steps in one line are made at the same time.
    return {
        {{Kind::put, "a", content_of(1, 3000)}},
        {{Kind::put, "a", content_of(2, 5000)}},
        {{Kind::put, "b", content_of(3, 700)},
         {Kind::put, "c", content_of(4, 2000)},
         {Kind::put, "d", ""}},
        {{Kind::put, long_name, content_of(5, 900)}, {Kind::put, "e", content_of(6, 900)}},
        {{Kind::put, "large", content_of(7, 30'000)}},
        {{Kind::put, "large", content_of(8, 90'000), Durability::group, 0, 5000}},
        {{Kind::custom, "large", "", Durability::group, 20}},
        {{Kind::custom, "a", "", Durability::group, 900}},
        {{Kind::remove, "b"}, {Kind::put, "f", content_of(9, 6000)}},
        {{Kind::put, "none", content_of(10, 4000), Durability::none}},
        {{Kind::put, "e", content_of(11, 3000)},
         {Kind::put, "none", content_of(12, 100), Durability::none}},
        {{Kind::put, "shard", content_of(13, 7000), Durability::group, 0, 600}},
        {{Kind::put, "large", "small again"}},
        {{Kind::remove, "large"}, {Kind::remove, "c"}, {Kind::put, "g", content_of(14, 8000)}},
        {{Kind::put, "h", content_of(15, 8000)},
         {Kind::put, "i", content_of(16, 8000)},
         {Kind::put, "j", content_of(17, 8000)},
         {Kind::put, "k", content_of(18, 8000)}},
        {{Kind::put, "l", content_of(19, 8000)}, {Kind::put, "m", content_of(20, 8000)}},
    };
}

// Overwrites, deletions and compaction, alone and at the same time.
std::vector<std::vector<Step>> compaction_flow() {
    using Kind = Step::Kind;
    std::vector<std::vector<Step>> lines = {
        {{Kind::put, "gone", content_of(1, 500)}, {Kind::put, "cold", content_of(2, 2000)}},
        {{Kind::put, "large", content_of(3, 30'000)}},
        {{Kind::custom, "cold", "", Durability::group, 700}},
    };
    for (uint64_t round = 0; round < 2; ++round) {
        std::vector<Step> line;
        for (uint64_t index = 0; index < 5; ++index) {
            line.push_back({Kind::put, "n" + std::to_string(index),
                            content_of(100 + 10 * round + index, 8000)});
        }
        lines.push_back(line);
        if (round == 0) lines.push_back({{Kind::remove, "gone"}, {Kind::put, "x", "x"}});
    }
    lines.push_back({{Kind::compact}});
    lines.push_back({{Kind::put, "gone", "again"}, {Kind::remove, "n0"}});
    lines.push_back({{Kind::put, "n1", content_of(50, 8000)},
                     {Kind::put, "n2", content_of(51, 8000)},
                     {Kind::put, "none", content_of(52, 8000), Durability::none},
                     {Kind::put, "o", content_of(53, 8000)}});
    lines.push_back({{Kind::compact},
                     {Kind::put, "n3", content_of(54, 4000)},
                     {Kind::remove, "n4"},
                     {Kind::put, "large", "small now"},
                     {Kind::remove, "gone"}});
    lines.push_back({{Kind::put, "none", content_of(56, 100), Durability::none}, {Kind::compact}});
    return lines;
}

// Objects of many files, and files that change hands.
std::vector<std::vector<Step>> upload_flow() {
    using Kind = Step::Kind;
    const auto upload = [](std::string name, std::string content) {
        return Step{.kind = Kind::upload, .name = std::move(name), .content = std::move(content)};
    };
    const auto append = [](std::string name, std::string content, size_t base_bytes) {
        return Step{.kind = Kind::append,
                    .name = std::move(name),
                    .content = std::move(content),
                    .base_bytes = base_bytes};
    };
    const auto from = [](Kind kind, std::string name, std::string source, std::string content) {
        return Step{.kind = kind,
                    .name = std::move(name),
                    .content = std::move(content),
                    .from = std::move(source)};
    };
    const std::string small = content_of(1, 3000);
    const std::string large = content_of(2, 30'000);
    const std::string parts = content_of(3, 20'000);
    const std::string appended = large + content_of(4, 9000);
    return {
        {{Kind::put, "small", small}, {Kind::put, "large", large}},
        {upload("parts", parts)},
        {from(Kind::rename, "renamed small", "small", small)},
        {append("large", appended, large.size())},
        {from(Kind::copy, "copy", "large", appended), {Kind::abort, "parts"}},
        {{Kind::remove, "large"}, upload("parts", parts + "!")},
        {from(Kind::rename, "renamed", "copy", appended), {Kind::put, "other", small}},
        {append("new", content_of(5, 3000), 0), {Kind::put, "small", "again"}},
        {{Kind::compact}},
        {from(Kind::copy, "last", "renamed", appended)},
        {{Kind::remove, "parts"}, {Kind::compact}},
    };
}

class CrashTest : public ::testing::Test {
protected:
    struct State {
        io::MemoryStorage storage;
        Oracle oracle;
    };

    void configure(StoreHarness& harness) const {
        if (uses_level_) harness.options().catalogue_cache_bytes = 1 << 20;
        harness.options().segment_bytes = 64 << 10;
        harness.options().small_object_bytes_max = 8 << 10;
        harness.options().aligned_payload_bytes_min = 4000;  // some records have gaps before them
        harness.options().reserve_bytes = 4096;
    }

    io::Task<void> make(StoreHarness& harness, const Step& step, Oracle& oracle, size_t& done) {
        const ObjectName name = StoreHarness::name(step.name);
        bool is_done = false;
        if (step.kind == Step::Kind::put) {
            PutOptions options;
            options.durability = step.durability;
            if (step.attachment_bytes > 0) {
                options.observer = std::make_unique<FixedObserver>(step.attachment_bytes);
            }
            is_done = (co_await harness.store().put(0, name, harness.body(step.content),
                                                    std::move(options)))
                          .has_value();
        } else if (step.kind == Step::Kind::compact) {
            const auto freed = co_await harness.store().compact(0);
            EXPECT_TRUE(freed) << freed.error().context;
            if (freed) freed_bytes_ += *freed;
        } else if (step.kind >= Step::Kind::upload) {
            is_done = co_await make_of_files(harness, step);
        } else if (step.kind == Step::Kind::remove) {
            is_done = (co_await harness.store().remove(0, name, {}, step.durability)).has_value();
        } else {
            is_done =
                (co_await harness.store().set_custom(
                     0, name, {{"k", std::string(step.custom_bytes, 'v')}}, true, step.durability))
                    .has_value();
        }
        if (is_done) acknowledge(step, oracle);
        ++done;
    }

    io::Task<bool> make_of_files(StoreHarness& harness, const Step& step) {
        using Kind = Step::Kind;
        Store& store = harness.store();
        const ObjectName name = StoreHarness::name(step.name);
        const ObjectName from = StoreHarness::name(step.from);
        if (step.kind == Kind::copy) co_return (co_await store.copy(0, from, name, {})).has_value();
        if (step.kind == Kind::rename) {
            co_return (co_await store.rename(0, from, name, true)).has_value();
        }
        if (step.kind == Kind::append) co_return co_await make_append(harness, step);
        const auto upload = co_await store.begin_upload(0, name, {}, {});
        if (!upload) co_return false;
        const bool is_abort = step.kind == Kind::abort;
        const size_t third = step.content.size() / 3;
        const std::vector<std::pair<uint32_t, std::string>> parts = {
            {3, is_abort ? "x" : step.content.substr(2 * third)},
            {1, "to be replaced"},
            {1, is_abort ? "y" : step.content.substr(0, third)},
            {2, is_abort ? "z" : step.content.substr(third, third)}};
        for (const auto& [number, content] : parts) {
            const auto put =
                co_await store.put_part(0, name, *upload, number, harness.body(content), {});
            if (!put) co_return false;
        }
        if (is_abort) co_return (co_await store.abort_upload(0, name, *upload)).has_value();
        co_return (co_await store.complete_upload(0, name, *upload, {})).has_value();
    }
    io::Task<bool> make_append(StoreHarness& harness, const Step& step) {
        const ObjectName name = StoreHarness::name(step.name);
        const std::string added = step.content.substr(step.base_bytes);
        std::string handle;
        for (const std::string& piece : {added.substr(0, 100), added.substr(100)}) {
            auto next = co_await harness.store().append(0, name, handle, harness.body(piece));
            if (!next) co_return false;
            handle = std::move(*next);
        }
        co_return (co_await harness.store().flush(0, name, handle, true)).has_value();
    }

    static Value value_of(const Step& step) {
        return step.kind == Step::Kind::remove ? Value() : Value(step.content);
    }
    static void begin(const Step& step, Oracle& oracle) {
        if (keeps_content(step)) return;
        oracle.possible[step.name].insert(value_of(step));
        if (step.kind != Step::Kind::rename) return;
        oracle.possible[step.from].insert(Value());
        oracle.renamings.push_back({step.from, step.name, step.content});
    }
    static bool keeps_content(const Step& step) {
        return step.kind == Step::Kind::custom || step.kind == Step::Kind::compact ||
               step.kind == Step::Kind::abort;
    }
    static void acknowledge(const Step& step, Oracle& oracle) {
        if (keeps_content(step)) return;
        if (step.durability == Durability::none) return;  // may be lost: stays possible
        oracle.acknowledged[step.name] = value_of(step);
        oracle.possible.erase(step.name);
        if (step.kind != Step::Kind::rename) return;
        oracle.acknowledged[step.from] = Value();
        oracle.possible.erase(step.from);
    }

    // Runs the flow; before each changing call on the disk `on_call` may look at it.
    void run_flow(StoreHarness& harness, Oracle& oracle, const std::function<void()>& after_line) {
        for (const std::vector<Step>& line : flow_) {
            size_t done = 0;
            for (const Step& step : line) begin(step, oracle);
            for (const Step& step : line) io::start_detached(make(harness, step, oracle, done));
            while (done < line.size()) loop_.reactor->turn(1'000'000);
            after_line();
        }
    }

    std::string check_names(StoreHarness& harness, const Oracle& oracle) {
        std::set<std::string> names;
        for (const auto& [name, value] : oracle.acknowledged) names.insert(name);
        for (const auto& [name, values] : oracle.possible) names.insert(name);
        for (const std::string& name : names) {
            const auto got = harness.get(name);
            if (!got && got.error().code != Errc::not_found) {
                return name.substr(0, 10) + ": " + got.error().context;
            }
            if (!oracle.allows(name, got ? Value(*got) : Value())) {
                return name.substr(0, 10) + (got ? ": wrong content" : ": lost");
            }
            if (got) {
                const auto listed = harness.list({.prefix = name, .limit = 1});
                if (!listed || listed->empty()) return name.substr(0, 10) + ": not listed";
            }
        }
        return "";
    }

    static std::string check_renamings(StoreHarness& harness, const Oracle& oracle) {
        for (const Oracle::Renaming& renaming : oracle.renamings) {
            const auto from = harness.get(renaming.from);
            const auto to = harness.get(renaming.to);
            const int count =
                int(from && *from == renaming.content) + int(to && *to == renaming.content);
            if (count != 1) return renaming.from + (count == 0 ? ": lost" : ": has two names");
        }
        return "";
    }

    // What is wrong with a state; "" if nothing is.
    std::string check(const io::MemoryStorage& storage, const Oracle& oracle, bool goes_on) {
        io::MemoryStorage copy = storage.clone();
        StoreHarness harness(loop_, copy);
        configure(harness);
        const Status opened = harness.open();
        if (!opened) return "cannot be opened: " + opened.error().context;
        // Files that are wrongly taken for nobody's are removed by now.
        if (settles_) settle_in(harness);
        std::string wrong = check_names(harness, oracle);
        if (wrong.empty()) wrong = check_renamings(harness, oracle);
        if (!wrong.empty() || !goes_on) return wrong;

        // The store works on, and recovers from its own recovery.
        Oracle more = oracle;
        const std::string content = content_of(99, 2000);
        if (!harness.put("afterwards", content)) return "a put after recovery fails";
        more.acknowledged["afterwards"] = content;
        Random random(random_.next());
        const io::MemoryStorage again = copy.crash(random);
        harness.stop();
        wrong = check(again, more, false);
        return wrong.empty() ? "" : "second recovery: " + wrong;
    }

    // A power cut in the middle of recovery, then another recovery.
    std::string check_cut_recovery(const io::MemoryStorage& storage, const Oracle& oracle) {
        io::MemoryStorage copy = storage.clone();
        copy.power_off_at(random_.below(12));
        {
            StoreHarness harness(loop_, copy);
            configure(harness);
            (void)harness.open();
        }
        copy.power_off();
        Random random(random_.next());
        const std::string wrong = check(copy.crash(random), oracle, false);
        return wrong.empty() ? "" : "after a cut in recovery: " + wrong;
    }

    static std::string check_archives(const io::MemoryStorage& storage) {
        const std::string directory =
            ::testing::TempDir() + "/log-crash-" + std::to_string(getpid());
        std::filesystem::remove_all(directory);
        std::filesystem::create_directories(directory);
        if (!storage.write_to(directory)) return "cannot be written out";
        std::string wrong;
        for (const char* tool : {"tar", "bsdtar"}) {
            const std::string command = std::string("for f in ") + directory +
                                        "/log/*.tar; do [ -e $f ] || continue; " + tool +
                                        " tf $f >/dev/null 2>" + directory + "/err || exit 1; done";
            const int status = std::system(command.c_str());
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
            std::ifstream errors(directory + "/err");
            wrong = tool + (": " + std::string(std::istreambuf_iterator<char>(errors), {}));
        }
        std::filesystem::remove_all(directory);
        return wrong;
    }

    static void settle_in(StoreHarness& harness) {
        constexpr int turns = 200;
        for (int turn = 0; turn < turns; ++turn) {
            harness.run([](io::Reactor& reactor) -> io::Task<Status> {
                co_await reactor.yield();
                co_return Status();
            }(*harness.loop().reactor));
        }
    }

    void explore_all(uint64_t states);

    TestLoop loop_;
    Random random_{20261126};
    bool uses_level_ = false;
    bool settles_ = false;
    std::vector<std::vector<Step>> flow_ = flow();
    uint64_t freed_bytes_ = 0;
};

void CrashTest::explore_all(uint64_t states) {
    // Once to count the calls, then with so many states at each.
    uint64_t calls = 0;
    {
        io::MemoryStorage storage;
        StoreHarness harness(loop_, storage);
        configure(harness);
        Oracle oracle;
        ASSERT_TRUE(harness.open());
        run_flow(harness, oracle, [] {});
        calls = storage.call_count();
    }
    // Some calls leave few states: the others make up for them.
    const uint64_t states_at_each = states * 3 / calls + 1;
    constexpr uint64_t archive_samples = 120;
    const uint64_t archive_every = states / archive_samples;

    io::MemoryStorage storage;
    std::vector<State> waiting;
    Oracle oracle;
    storage.on_call([&](const io::DiskCall&) { waiting.push_back({storage.clone(), oracle}); });
    StoreHarness harness(loop_, storage);
    configure(harness);
    ASSERT_TRUE(harness.open());
    uint64_t visited = 0;
    uint64_t archives = 0;
    const auto explore = [&] {
        for (const State& state : std::exchange(waiting, {})) {
            if (HasFailure()) return;
            state.storage.for_each_crash(
                states_at_each, random_, {}, [&](const io::MemoryStorage& left) {
                    if (HasFailure()) return;
                    ++visited;
                    EXPECT_EQ(check(left, state.oracle, visited % 8 == 0), "") << visited;
                    if (visited % 16 == 0) {
                        EXPECT_EQ(check_cut_recovery(left, state.oracle), "") << visited;
                    }
                    if (visited % archive_every == 0) {
                        ++archives;
                        EXPECT_EQ(check_archives(left), "") << visited;
                    }
                });
        }
    };
    run_flow(harness, oracle, explore);
    harness.stop();
    explore();
    storage.on_call(nullptr);
    RecordProperty("states", static_cast<int>(visited));
    printf("%lu states at %lu calls, %lu archives listed\n", static_cast<unsigned long>(visited),
           static_cast<unsigned long>(calls), static_cast<unsigned long>(archives));
    // Most calls have fewer states than are asked for in the deep mode: then all were visited.
    EXPECT_GE(visited, is_deep() ? states / 4 : states);
}

TEST_F(CrashTest, NoPowerCutLosesTearsOrRevivesWhatWasAcknowledged) {
    explore_all(states_max());
}

TEST_F(CrashTest, NorWithTheCatalogueOnTheSameDisk) {
    uses_level_ = true;
    explore_all(states_max() / 10);
}

TEST_F(CrashTest, NorWhileItIsCompacted) {
    flow_ = compaction_flow();
    explore_all(states_max());
    EXPECT_GT(freed_bytes_, 200'000U);
}

TEST_F(CrashTest, NorWhileItIsCompactedWithTheCatalogueOnTheSameDisk) {
    uses_level_ = true;
    flow_ = compaction_flow();
    explore_all(states_max() / 10);
    EXPECT_GT(freed_bytes_, 200'000U);
}

TEST_F(CrashTest, NorWhileFilesChangeHands) {
    flow_ = upload_flow();
    settles_ = true;
    explore_all(states_max() / 2);
}

TEST_F(CrashTest, NorWhileFilesChangeHandsWithTheCatalogueOnTheSameDisk) {
    uses_level_ = true;
    flow_ = upload_flow();
    settles_ = true;
    explore_all(states_max() / 20);
}

// The control: with one sync left out somewhere, these checks find it.
TEST_F(CrashTest, ASkippedSyncIsCaught) {
    for (const char* path : {"log/", "objects/", "objects"}) {
        const bool is_directory = std::string(path) == "objects";
        uint64_t caught = 0;
        for (uint64_t at = 0; at < 6 && caught == 0; ++at) {
            io::MemoryStorage storage;
            io::FaultPlan faults;
            StoreHarness harness(loop_, storage, &faults);
            configure(harness);
            ASSERT_TRUE(harness.open());
            ASSERT_TRUE(harness.put("first", "x"));
            faults.reset();
            io::Fault lost;
            lost.effect = io::FaultEffect::is_lost;
            lost.kind = is_directory ? io::DiskCallKind::sync_directory : io::DiskCallKind::sync;
            lost.path_part = path;
            lost.at = at;
            lost.is_sticky = true;
            faults.add(lost);
            Oracle oracle;
            oracle.acknowledged["first"] = "x";
            for (const char* name : {"p", "q"}) {
                const std::string content = content_of(at, 20'000);
                if (harness.put(name, content)) oracle.acknowledged[name] = content;
            }
            storage.for_each_crash(200, random_, {}, [&](const io::MemoryStorage& left) {
                caught += check(left, oracle, false).empty() ? 0 : 1;
            });
        }
        EXPECT_GT(caught, 0U) << path;
    }
}

// The same for compaction: a copy that is not on the device when its original goes is missed.
TEST_F(CrashTest, ASkippedSyncOfACopyIsCaught) {
    uint64_t caught = 0;
    for (uint64_t at = 0; at < 4 && caught == 0; ++at) {
        io::MemoryStorage storage;
        io::FaultPlan faults;
        StoreHarness harness(loop_, storage, &faults);
        configure(harness);
        ASSERT_TRUE(harness.open());
        Oracle oracle;
        for (uint64_t index = 0; index < 30; ++index) {
            const std::string name = index % 5 == 0 ? "cold" + std::to_string(index) : "hot";
            const std::string content = content_of(index, 6000);
            ASSERT_TRUE(harness.put(name, content));
            oracle.acknowledged[name] = content;
        }
        faults.reset();
        io::Fault lost;
        lost.effect = io::FaultEffect::is_lost;
        lost.kind = io::DiskCallKind::sync;
        lost.path_part = "log/";
        lost.at = at;
        lost.is_sticky = true;
        faults.add(lost);
        ASSERT_TRUE(harness.compact());
        storage.for_each_crash(200, random_, {}, [&](const io::MemoryStorage& left) {
            caught += check(left, oracle, false).empty() ? 0 : 1;
        });
    }
    EXPECT_GT(caught, 0U);
}

}  // namespace
}  // namespace penstock::node
