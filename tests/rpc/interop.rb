# MessagePack-RPC by a client that somebody else wrote, in Ruby: Debian's ruby-neovim. What is called
# is generated from rpc.describe: every method, and every argument of every method with values of
# every wrong type.
#
#     ruby tests/rpc/interop.rb unix:PATH | HOST:PORT
#
# The last line is "N passed, N failed". tests/rpc/interop_ruby.py starts a node for it.
require "neovim"
require "neovim/event_loop"
require "neovim/session"

BUCKET = "interop-ruby"
# What each type accepts, and one value of each kind that a client can send.
SAMPLES = {"nil" => nil, "bool" => true, "int" => -1, "uint" => 1, "float" => 0.5,
           "str" => "text", "bin" => "bytes".b, "array" => [], "map" => {}}.freeze
ACCEPTED = Hash.new { |_, type| [type] }.merge(
  "int" => %w[int uint], "float" => %w[float int uint], "any" => SAMPLES.keys)

# What an error reply says: [code, message, details].
class Failed < StandardError
  attr_reader :code, :name

  def initialize(error)
    @code, message, details = error
    @name = details["name"]
    super("#{@name}: #{message}")
  end
end

class Interop
  def initialize(address)
    @connection = connect(address)
    @session = Neovim::Session.new(Neovim::EventLoop.new(connect(address)))
    @last_id = 0
    @passed = @failed = 0
  end

  def connect(address)
    return Neovim::Connection.unix(address.delete_prefix("unix:")) if address.start_with?("unix:")
    host, _, port = address.rpartition(":")
    Neovim::Connection.tcp(host, port.to_i)
  end

  def check(holds, what)
    holds ? @passed += 1 : @failed += 1
    puts "FAILED: #{what}" unless holds
  end

  # The result, or Failed. One layer below the session, which keeps an error's message alone.
  def call(method, arguments)
    @last_id += 1
    request = Neovim::Message.request(@last_id, method, [arguments])
    type, id, error, result = @connection.write(request.to_a).flush.read
    raise "a reply of another form" unless type == 1 && id == @last_id
    raise Failed.new(error) if error
    result
  end

  def good_arguments(name)
    object = {"bucket" => BUCKET, "name" => "o"}
    {"auth.login" => {"token" => "t"},
     "bucket.create" => {"bucket" => "other-ruby", "props" => {"durability" => "none"}},
     "bucket.destroy" => {"bucket" => "other-ruby"},
     "bucket.set" => {"bucket" => BUCKET, "props" => {"versioned" => true}},
     "bucket.stat" => {"bucket" => BUCKET},
     "object.copy" => object.merge("to_bucket" => BUCKET, "to_name" => "copy"),
     "object.delete" => {"bucket" => BUCKET, "name" => "copy"},
     "object.get" => object.merge("offset" => 1, "length" => 3),
     "object.get_many" => {"items" => [object], "ordered" => true, "on_missing" => "error"},
     "object.list" => {"bucket" => BUCKET, "prefix" => "", "limit" => 10},
     "object.put" => object.merge("data" => "content".b, "metadata" => {"k" => "v"}),
     "object.set_metadata" => object.merge("metadata" => {"l" => "w"}),
     "object.stat" => object}[name]
  end

  def check_every_method(methods)
    methods.each do |method|
      name = method["name"]
      arguments = good_arguments(name)
      is_known = !arguments.nil?
      arguments ||= method["params"].select { |parameter| parameter["required"] }
                                    .to_h { |parameter| [parameter["name"], SAMPLES[parameter["type"]]] }
      begin
        result = call(name, arguments)
        declared = method["result"].map { |field| field["name"] }
        check((result.keys - declared).empty?, "#{name} answers #{result.keys}, says #{declared}")
      rescue Failed => failure
        is_declared = method["errors"].include?(failure.code)
        check(!is_known && is_declared, "#{name}: #{failure.message}")
      end
    end
  end

  def check_arguments(methods)
    methods.each do |method|
      right = method["params"].to_h { |parameter| [parameter["name"], SAMPLES[parameter["type"]]] }
      method["params"].each do |parameter|
        SAMPLES.each do |kind, value|
          next if ACCEPTED[parameter["type"]].include?(kind)
          next if kind == "nil" && !parameter["required"]
          expect_invalid(method, right.merge(parameter["name"] => value))
        end
        expect_invalid(method, right.reject { |key, _| key == parameter["name"] }) if parameter["required"]
      end
      expect_invalid(method, right.merge("colour" => 1))
    end
  end

  def expect_invalid(method, arguments)
    result = call(method["name"], arguments)
    check(false, "#{method['name']} took #{arguments}: #{result}")
  rescue Failed => failure
    check(failure.name == "invalid", "#{method['name']} #{arguments}: #{failure.message}")
  end

  # By the library's own session.
  def check_contents
    names = (0...50).map { |index| "n#{index}" }
    names.each do |name|
      @session.request("object.put", {"bucket" => BUCKET, "name" => name, "data" => (name * 20).b})
    end
    items = names.map { |name| {"bucket" => BUCKET, "name" => name} }
    batch = @session.request("object.get_many", {"items" => items})
    parts = batch["entries"].map { |entry| batch["data"][entry["offset"], entry["length"]] }
    check(parts == names.map { |name| (name * 20).b }, "a batch holds its objects, in order")
    whole = @session.request("object.get", {"bucket" => BUCKET, "name" => "n7"})
    check(whole["data"] == ("n7" * 20).b && whole["data"].encoding == Encoding::BINARY, "a get")
    begin
      @session.request("object.get", {"bucket" => BUCKET, "name" => "absent"})
      check(false, "an absent object")
    rescue StandardError => error
      check(error.message.include?("does not exist"), "an absent object: #{error.message}")
    end
  end

  def run
    methods = call("rpc.describe", {})["methods"]
    call("bucket.create", {"bucket" => BUCKET})
    call("object.put", {"bucket" => BUCKET, "name" => "o", "data" => "content".b})
    # Methods in an order in which each finds what it needs: destroy and delete come last.
    methods = methods.sort_by { |method| [method["name"] =~ /destroy|delete|release/ ? 1 : 0, method["name"]] }
    check_every_method(methods)
    check_arguments(methods)
    check_contents
    call("bucket.destroy", {"bucket" => BUCKET})
    puts "#{@passed} passed, #{@failed} failed"
    exit(@failed.zero? && @passed > 100 ? 0 : 1)
  end
end

Interop.new(ARGV.fetch(0)).run
