# frozen_string_literal: true

require 'fileutils'
require 'open3'
require 'timeout'

module Edgelab
  # Whether KVM really runs a machine here. That /dev/kvm is there says little: nested and paravirtual hosts offer it
  # and then stall at the first Linux kernel, so a kernel is booted until it looks for its root file system.
  module Kvm
    SECONDS = 20
    REACHED = 'Kernel command line'
    PANIC = /Kernel panic|Unable to mount root/.freeze

    module_function

    # `yes` or `no` in EDGELAB_KVM decides; otherwise the answer is found once per boot of this machine.
    def works?(state, kernels)
      wish = ENV.fetch('EDGELAB_KVM', 'auto')
      return wish == 'yes' unless wish == 'auto'
      return false unless File.writable?('/dev/kvm')

      answer = File.join(state, "kvm-#{File.read('/proc/sys/kernel/random/boot_id').strip}")
      return File.read(answer).strip == 'yes' if File.exist?(answer)

      verdict = try(kernels.find { |path| File.readable?(path) })
      FileUtils.mkdir_p(state)
      File.write(answer, verdict ? "yes\n" : "no\n")
      verdict
    end

    # Without a kernel to try there is no proof, and plain emulation always works.
    def try(kernel)
      return false if kernel.nil?

      seen = +''
      command = ['qemu-system-x86_64', '-accel', 'kvm', '-cpu', 'host', '-m', '256', '-display', 'none', '-no-reboot',
                 '-nodefaults', '-serial', 'stdio', '-kernel', kernel, '-append', 'console=ttyS0 panic=-1 root=none']
      Open3.popen2e(*command) do |input, output, process|
        input.close
        Timeout.timeout(SECONDS) { output.each_char { |char| seen << char; break if seen =~ PANIC } }
      rescue Timeout::Error
        nil
      ensure
        Process.kill('KILL', process.pid) if process.alive?
      end
      seen.match?(PANIC)
    rescue Errno::ENOENT
      false
    end
  end
end
