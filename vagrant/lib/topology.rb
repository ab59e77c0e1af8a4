# frozen_string_literal: true

require 'ipaddr'
require 'yaml'

module Edgelab
  # Something that the person at the keyboard has to change; the message says what and where. Vagrant shows its own
  # errors without a stack trace, so inside Vagrant this is one of them.
  class Problem < (defined?(Vagrant::Errors) ? Vagrant::Errors::VagrantError : StandardError)
    attr_reader :error_message

    def initialize(text)
      @error_message = text
      super()
    end

    def to_s
      error_message
    end
  end

  # The machines of the lab, read from topology.yml and checked. plugins/plugin_utils/vagrant_topology.py reads the
  # same file by the same rules and with the same words; tests/vagrant holds the two equal.
  class Topology
    Node = Struct.new(:name, :group, :address, :cpus, :memory, :boxes)

    GROUPS = %w[cloud edge].freeze
    PROVIDERS = %w[libvirt virtualbox vmware_desktop parallels].freeze
    TOP_KEYS = %w[network defaults nodes].freeze
    DEFAULT_KEYS = %w[box cpus memory].freeze
    NODE_KEYS = (%w[name group address] + DEFAULT_KEYS).freeze
    DNS_LABEL = /\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\z/.freeze
    LEAST = { 'cpus' => 1, 'memory' => 256 }.freeze
    VIRTUALBOX_NETWORK = IPAddr.new('192.168.56.0/21')

    attr_reader :network, :nodes, :file

    def initialize(file)
      @file = file
      document = read
      problems = problems_of(document)
      raise Problem, (["#{file} cannot be used:"] + problems.map { |line| "  #{line}" }).join("\n") if problems.any?

      @network = IPAddr.new(document['network'])
      defaults = document['defaults'] || {}
      @nodes = document['nodes'].map { |entry| node(defaults.merge(entry)) }
    end

    def last
      nodes.last
    end

    def netmask
      IPAddr.new('255.255.255.255').mask(network.prefix).to_s
    end

    # VirtualBox (from 6.1.28 on) refuses other host-only networks, and says so less clearly.
    def check_virtualbox
      return if VIRTUALBOX_NETWORK.include?(network) && network.prefix >= 21

      raise Problem, "#{file}: network #{network}/#{network.prefix} is outside 192.168.56.0/21, which is all that " \
                     'VirtualBox offers; choose another one'
    end

    private

    def read
      document = YAML.safe_load(File.read(file), aliases: true)
      raise Problem, "#{file} cannot be used:\n  it must be a mapping with network and nodes" unless document.is_a?(Hash)

      document
    rescue Errno::ENOENT
      raise Problem, "#{file} is not there; EDGELAB_TOPOLOGY names another file"
    rescue Psych::SyntaxError => e
      raise Problem, "#{file} cannot be used:\n  it is no YAML (line #{e.line})"
    end

    def node(entry)
      boxes = entry['box']
      boxes = { 'default' => boxes } if boxes.is_a?(String)
      Node.new(entry['name'], entry['group'], entry['address'], entry['cpus'], entry['memory'], boxes)
    end

    def problems_of(document)
      problems = unknown(document, TOP_KEYS, 'the file')
      range = range_of(document['network'])
      problems << "network: #{shown(document['network'])} is no network such as 192.168.56.0/24" unless range
      defaults = document['defaults'] || {}
      return problems << 'defaults: it must be a mapping' unless defaults.is_a?(Hash)

      problems += unknown(defaults, DEFAULT_KEYS, 'defaults')
      nodes = document['nodes']
      unless nodes.is_a?(Array) && nodes.any? && nodes.all? { |entry| entry.is_a?(Hash) }
        return problems << 'nodes: it must be a list of mappings, one for each machine'
      end

      nodes.each { |entry| problems += node_problems(entry, defaults.merge(entry), range) }
      problems + shared_problems(nodes)
    end

    def node_problems(own, entry, range)
      name = shown(own['name'])
      label = "node #{name}"
      problems = unknown(own, NODE_KEYS, label)
      problems << "#{label}: name must be a DNS label (a-z, 0-9, -)" unless DNS_LABEL.match?(name)
      problems << "#{label}: group #{shown(entry['group'])} must be cloud or edge" unless GROUPS.include?(entry['group'])
      problems += address_problems(label, entry['address'], range)
      LEAST.each do |key, least|
        value = entry[key]
        problems << "#{label}: #{key} must be a number from #{least} on" unless value.is_a?(Integer) && value >= least
      end
      problems << "#{label}: box must be a name, or names by provider with default" unless box?(entry['box'])
      problems
    end

    def address_problems(label, address, range)
      parsed = address_of(address)
      return ["#{label}: address #{shown(address)} is no IPv4 address"] unless parsed
      return [] if range.nil?
      return ["#{label}: address #{address} is outside network #{range}/#{range.prefix}"] unless range.include?(parsed)

      # The first one is the machine that runs the lab; the ends are the network itself and its broadcast.
      offset = parsed.to_i - range.to_i
      reserved = [0, 1, (1 << (32 - range.prefix)) - 1].include?(offset)
      reserved ? ["#{label}: address #{address} is reserved in network #{range}/#{range.prefix}"] : []
    end

    def shared_problems(nodes)
      problems = %w[name address].flat_map do |key|
        nodes.map { |entry| shown(entry[key]) }.tally.select { |_, count| count > 1 }.map do |value, count|
          "#{key} #{value} belongs to #{count} nodes"
        end
      end
      problems + GROUPS.reject { |group| nodes.any? { |entry| entry['group'] == group } }
                       .map { |group| "group #{group} has no node: name at least one" }
    end

    def box?(box)
      return box.is_a?(String) && !box.empty? unless box.is_a?(Hash)

      box.key?('default') && (box.keys - PROVIDERS - ['default']).empty? && box.values.all? { |name| name.is_a?(String) }
    end

    def range_of(text)
      return unless text.is_a?(String) && text.match?(%r{\A\d+(\.\d+){3}/\d+\z})

      range = IPAddr.new(text)
      range if range.prefix.between?(8, 30) && range.to_s == text.split('/').first
    rescue IPAddr::Error
      nil
    end

    def address_of(text)
      IPAddr.new(text) if text.is_a?(String) && text.match?(/\A\d+(\.\d+){3}\z/)
    rescue IPAddr::Error
      nil
    end

    def unknown(mapping, known, where)
      (mapping.keys.map(&:to_s) - known).map { |key| "#{where}: #{key} is not known; there is #{known.join(', ')}" }
    end

    def shown(value)
      value.nil? ? '(none)' : value.to_s
    end
  end
end
