# frozen_string_literal: true

require 'net/http'
require 'open3'
require 'uri'

module Edgelab
  # Which box a machine comes from: the one that the topology names where it can be had, and one that is built here
  # from Debian packages (vagrant/boxes) where it cannot. EDGELAB_BOX=topology or local decides it by hand.
  module Boxes
    LOCAL = 'edgelab/debian12'
    BUILD = File.expand_path('../boxes/build', __dir__)
    CLOUD = URI('https://vagrantcloud.com/api/v2/vagrant')
    LOCALLY_BUILT = %w[libvirt].freeze

    module_function

    def choose(box, provider, going_up)
      case ENV.fetch('EDGELAB_BOX', 'auto')
      when 'topology' then return box
      when 'local' then return built(going_up)
      end
      return box if !LOCALLY_BUILT.include?(provider) || installed?(box, provider)
      return LOCAL if installed?(LOCAL, provider)
      return box if !going_up || reachable?

      warn "edgelab: Vagrant Cloud cannot be reached, so the box #{box} is replaced by #{LOCAL}, built here."
      built(true)
    end

    # The image of the Docker provider's hosts: no registry has it.
    def docker_image(going_up)
      build(*(going_up ? [] : ['--key']), 'docker')
    end

    def kernels
      folders = Dir.glob(File.join(home, 'boxes', LOCAL.sub('/', '-VAGRANTSLASH-'), '*', '**', 'vmlinuz'))
      folders + Dir.glob('/boot/vmlinuz*').sort.reverse
    end

    def built(going_up)
      going_up && !installed?(LOCAL, 'libvirt') ? build('libvirt') : LOCAL
    end

    def installed?(box, provider)
      Dir.glob(File.join(home, 'boxes', box.sub('/', '-VAGRANTSLASH-'), '*', '**', provider, 'metadata.json')).any?
    end

    def home
      ENV.fetch('VAGRANT_HOME') { File.expand_path('~/.vagrant.d') }
    end

    def reachable?
      proxy = CLOUD.find_proxy
      Net::HTTP.start(CLOUD.host, CLOUD.port, proxy&.host, proxy&.port,
                      use_ssl: true, open_timeout: 5, read_timeout: 5) do |http|
        http.head(CLOUD.path).code.to_i < 500
      end
    rescue StandardError
      false
    end

    def build(*words)
      output, errors, status = Open3.capture3(BUILD, *words)
      raise Problem, errors.strip unless status.success?

      output.strip
    end
  end
end
