# Installs {{ app }} {{ version }} on Windows.
#
{% if base %}
#   irm {{ base }}/{{ script }} | iex
#   & ([scriptblock]::Create((irm {{ base }}/{{ script }}))) --help
{% else %}
#   powershell -ExecutionPolicy Bypass -File {{ script }}
#       beside the other files of the release, or with GANGWAY_BASE_URL set to their address
{% endif %}
#
# It finds out what machine this is, downloads the installer for it (a program of a few megabytes), compares that with the
# SHA-256 written here, and starts it. For Windows PowerShell 5.1 and PowerShell 7; no administrator is needed.
#
# The outer braces end with the last character of the script: PowerShell does nothing of half a download.
if ($true) {
& {
    param([string[]] $Given, [string] $Script)

    Set-StrictMode -Version 2.0
    $ErrorActionPreference = 'Stop'
    # How the installer ends is looked at here.
    $PSNativeCommandUseErrorActionPreference = $false
    $Given = @($Given | Where-Object { $_ })
    # Of another file: one that has called this one's text.
    if ($Script -and (Split-Path -Leaf $Script) -ne {{ script | ps1 }}) { $Script = '' }
    # Drawing it takes longer than the download.
    $ProgressPreference = 'SilentlyContinue'

    $app = {{ app | ps1 }}
    $version = {{ version | ps1 }}
    $channel = {{ channel | ps1 }}
    $published = {{ base | ps1 }}
    $installers = @{
{% for installer in installers %}
        {{ installer.machine | ps1 }} = @{
            Name = {{ installer.name | ps1 }}
            Size = {{ installer.size | ps1 }}
            Sha256 = {{ installer.sha256 | ps1 }}
        }
{% endfor %}
    }

    # Standard output is the installer's: people ask it for JSON.
    function Say([string] $Text) {
        [Console]::Error.WriteLine("${app}: $Text")
    }

    function Stop-Here([string] $Text, [string] $Help) {
        if ($Help) { $Text = "$Text`n  $Help" }
        throw "${app}: error: $Text"
    }

    function Show-Usage {
        @(
            "Installs $app $version."
            ''
            'usage: {{ script }} [OPTION]...'
{% if base %}
            '       & ([scriptblock]::Create((irm {{ base }}/{{ script }}))) [OPTION]...'
{% endif %}
            ''
            '  --from ADDRESS   take everything from this mirror (https://...) or folder [default: $env:GANGWAY_BASE_URL,'
            '                   else the script''s own folder if the files are there{% if base %}, else {{ base }}{% endif %}]'
            '  --dry-run        say what would be done, and do nothing'
            '  --help           print this'
            ''
            'Other options are handed to the installer, for instance --system (for all users), --prefix DIR, --bin-dir DIR'
            'and --yes. The installer is put into $env:TEMP for a moment.'
        ) | Write-Output
    }

    # What the machine is. A shell that is emulated is told of another processor; the machine's own environment is not.
    function Get-Machine {
        if ((Get-Variable -Name IsWindows -ErrorAction SilentlyContinue) -and -not $IsWindows) {
            Stop-Here 'this script is for Windows' 'on Linux and macOS: sh install.sh'
        }
        $key = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment'
        $native = (Get-ItemProperty -Path $key -ErrorAction SilentlyContinue).PROCESSOR_ARCHITECTURE
        foreach ($told in @($native, $env:PROCESSOR_ARCHITEW6432, $env:PROCESSOR_ARCHITECTURE)) {
            switch ($told) {
                'ARM64' { return 'windows-arm64' }
                'AMD64' { return 'windows-x64' }
                'x86' { Stop-Here "there is no $app for 32-bit Windows" }
            }
        }
        Stop-Here "there is no $app for this processor"
    }

    # The installer for the machine. Windows on ARM runs programs for x64 too.
    function Get-Installer([string] $Machine) {
        $fitting = @($Machine)
        if ($Machine -eq 'windows-arm64') { $fitting += 'windows-x64' }
        foreach ($name in $fitting) {
            if ($installers.ContainsKey($name)) { return $installers[$name] }
        }
        Stop-Here "there is no $app $version for $Machine" 'there is one for: {{ machines }}'
    }

    # Where the release is: an address or a folder.
    function Get-Base([string] $From, [hashtable] $Installer) {
        $base = $From
        if (-not $base -and $Script) {
            $beside = Split-Path -Parent $Script
            $installerThere = Test-Path -LiteralPath (Join-Path $beside $Installer.Name) -PathType Leaf
            $channelThere = Test-Path -LiteralPath (Join-Path $beside "$channel.json") -PathType Leaf
            if ($installerThere -and $channelThere) { $base = $beside }
        }
        if (-not $base) { $base = $published }
        if (-not $base) {
            Stop-Here "this script does not know where the files of $app $version are, and they are not beside it" `
                'name the address or the folder: --from ADDRESS, or the variable GANGWAY_BASE_URL'
        }
        if ($base -match '^file:///') { $base = ([uri] $base).LocalPath }
        if ($base -match '^https?://') {
            Confirm-Encrypted $base
            return $base
        }
        if ($base -match '^[A-Za-z][A-Za-z0-9+.-]+://') { Stop-Here "``$base`` is neither an https address nor a folder" }
        if (-not (Test-Path -LiteralPath $base -PathType Container)) { Stop-Here "there is no folder ``$base``" }
        $folder = (Resolve-Path -LiteralPath $base).ProviderPath
        if (-not (Test-Path -LiteralPath (Join-Path $folder $Installer.Name) -PathType Leaf)) {
            Stop-Here "there is no ``$($Installer.Name)`` in ``$folder``" 'copy all files of the release to it'
        }
        return $folder
    }

    # Nothing comes in clear text, but from this machine itself, or where the user says so.
    function Confirm-Encrypted([string] $Base) {
        $parts = Split-Address $Base
        $address = [uri] ($parts.Scheme + $parts.Place)
        $isAllowed = $env:GANGWAY_ALLOW_HTTP -and $env:GANGWAY_ALLOW_HTTP -ne '0'
        if ($address.Scheme -eq 'http' -and -not $address.IsLoopback -and -not $isAllowed) {
            Stop-Here "``$(Get-Shown $Base)`` is not encrypted" (
                "name an address that begins with https://`n" +
                '  or set GANGWAY_ALLOW_HTTP=1, if you trust everybody between here and there')
        }
    }

    # The parts of an address. A password and a signature are for the server, not for the screen; a signature is a query.
    function Split-Address([string] $Address) {
        $null = $Address -match '^(https?://)(?:([^/?#]*)@)?([^?#]*)(\?[^#]*)?'
        return @{ Scheme = $Matches[1]; User = $Matches[2]; Place = $Matches[3]; Query = $Matches[4] }
    }

    # What people see of an address or a folder.
    function Get-Shown([string] $Base) {
        if ($Base -notmatch '^https?://') { return $Base }
        $parts = Split-Address $Base
        $shown = $parts.Scheme + $parts.Place
        if ($parts.Query) { $shown += '?...' }
        return $shown
    }

    # Downloads a file of the release. A query goes behind its name; a password is not sent by .NET if it is in an address.
    function Get-Download([string] $Base, [string] $Name, [string] $To) {
        $parts = Split-Address $Base
        $address = $parts.Scheme + $parts.Place.TrimEnd('/') + '/' + $Name + $parts.Query
        $options = @{ Uri = $address; OutFile = $To; UseBasicParsing = $true; TimeoutSec = 60 }
        if ($parts.User) {
            $user = $parts.User
            if (-not $user.Contains(':')) { $user += ':' }
            $bytes = [Text.Encoding]::UTF8.GetBytes([uri]::UnescapeDataString($user))
            $options.Headers = @{ Authorization = 'Basic ' + [Convert]::ToBase64String($bytes) }
        }
        # TimeoutSec is for the answer to come; what follows it has a limit of its own where the version knows one.
        if ((Get-Command Invoke-WebRequest).Parameters.ContainsKey('OperationTimeoutSeconds')) {
            $options.OperationTimeoutSeconds = 60
        }
        if ($PSVersionTable.PSVersion.Major -lt 6) {
            # The default of .NET Framework may be TLS 1.0; and unlike PowerShell 7 it does not read the variable.
            [Net.ServicePointManager]::SecurityProtocol = `
                [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12
            if ($env:HTTPS_PROXY -and $address -match '^https:') { $options.Proxy = $env:HTTPS_PROXY }
        }
        foreach ($attempt in 1..3) {
            try {
                Invoke-WebRequest @options
                return
            } catch {
                $reason = $_.Exception.Message
                # What a server refuses it refuses again; it may have been busy, or never have been asked.
                $answer = $_.Exception.PSObject.Properties['Response']
                $status = if ($answer -and $answer.Value) { [int] $answer.Value.StatusCode } else { 0 }
                $isRefused = $status -ge 400 -and $status -lt 500 -and $status -notin 408, 429
                if ($isRefused -or $attempt -eq 3) { break }
            }
            Start-Sleep -Seconds $attempt
        }
        Stop-Here "cannot download ``$(Get-Shown $address)``: $reason" `
            'behind a proxy, set HTTPS_PROXY; a mirror is named by --from ADDRESS or GANGWAY_BASE_URL'
    }

    # The file is what this script was made for.
    function Confirm-Installer([string] $Path, [hashtable] $Installer) {
        # Not Get-FileHash: Windows PowerShell that is started by PowerShell 7 looks for it in the wrong folders.
        $digest = [Security.Cryptography.SHA256]::Create().ComputeHash([IO.File]::ReadAllBytes($Path))
        $found = [BitConverter]::ToString($digest).Replace('-', '').ToLowerInvariant()
        if ($found -ne $Installer.Sha256) {
            Stop-Here "``$($Installer.Name)`` is not the installer that belongs to this script; it was not started" `
                ("its SHA-256 is $found, expected was $($Installer.Sha256)`n" +
                '  a proxy may have answered in its place, or the script is of another release: get it again')
        }
    }

    # Puts the installer into a folder of its own where programs can be started; policies may forbid that for some.
    function Get-Program([string] $Base, [hashtable] $Installer) {
        $isRemote = $Base -match '^https?://'
        $reasons = @()
        foreach ($parent in @([IO.Path]::GetTempPath(), $env:LOCALAPPDATA, $env:USERPROFILE)) {
            if (-not $parent) { continue }
            $folder = Join-Path $parent ("$app-install-" + [Guid]::NewGuid().ToString('N'))
            $program = Join-Path $folder $Installer.Name
            $starts = $false
            $reason = ''
            try {
                try {
                    $null = New-Item -ItemType Directory -Path $folder
                    if (-not $isRemote) { Copy-Item -LiteralPath (Join-Path $Base $Installer.Name) -Destination $program }
                } catch {
                    $reason = $_.Exception.Message
                }
                if (-not $reason) {
                    if ($isRemote) {
                        Say "downloading the installer ($($Installer.Size)) from $(Get-Shown $Base)"
                        Get-Download $Base $Installer.Name $program
                    }
                    Confirm-Installer $program $Installer
                    # What came by way of a browser or a stick is marked as a stranger's; its digest says whose it is.
                    Unblock-File -LiteralPath $program -ErrorAction SilentlyContinue
                    $reason = Get-StartFault $program
                }
                $starts = -not $reason
            } finally {
                if (-not $starts) { Remove-Item -LiteralPath $folder -Recurse -Force -ErrorAction SilentlyContinue }
            }
            if ($starts) { return $program }
            $reasons += "${parent}: $reason"
        }
        Stop-Here "the installer cannot be started: $($reasons -join '; ')" 'set TEMP to a folder where programs may be started'
    }

    # Why the program cannot be started here; nothing if it can.
    function Get-StartFault([string] $Program) {
        try {
            # Where standard error is redirected, Windows PowerShell takes every line of a program's for an error of its own.
            $ErrorActionPreference = 'Continue'
            $null = & $Program --version
        } catch {
            return $_.Exception.Message
        }
    }

    $from = $env:GANGWAY_BASE_URL
    $isDryRun = $false
    $hasChannel = $false
    $rest = @()
    for ($index = 0; $index -lt $Given.Count; $index++) {
        $argument = $Given[$index]
        switch -CaseSensitive -Regex ($argument) {
            '^(-h|--help)$' { Show-Usage; return }
            '^--dry-run$' { $isDryRun = $true; break }
            '^--from$' {
                $index++
                if ($index -ge $Given.Count) { Stop-Here '--from needs an address or a folder' }
                $from = $Given[$index]
                break
            }
            '^--from=' { $from = $argument.Substring('--from='.Length); break }
            '^--channel(=|$)' { $hasChannel = $true; $rest += $argument; break }
            default { $rest += $argument }
        }
    }
    $machine = Get-Machine
    $installer = Get-Installer $machine
    $base = Get-Base $from $installer
    if (-not $hasChannel) { $rest = @('--channel', $channel) + $rest }
    if ($isDryRun) {
        @(
            "would install $app $version for $machine"
            "  from       $(Get-Shown $base)"
            "  installer  $($installer.Name) ($($installer.Size))"
            "  SHA-256    $($installer.Sha256)"
            "  then       $($installer.Name) install --from $(Get-Shown $base) $rest"
            'nothing was done'
        ) | Write-Output
        return
    }
    $program = Get-Program $base $installer
    $variable = $env:GANGWAY_BASE_URL
    try {
        $arguments = @('install')
        if ((Get-Shown $base) -eq $base) {
            $arguments += @('--from', $base)
        } else {
            # Other users see what a program is started with, and nothing of its environment.
            $env:GANGWAY_BASE_URL = $base
        }
        $arguments += $rest
        if ($PSVersionTable.PSVersion.Major -lt 6) {
            # It puts quotation marks around what has a blank in it; after a backslash the second would be part of the text.
            $arguments = @($arguments -replace '^(.*\s.*?)(\\+)$', '$1$2$2')
        }
        # As above: lines on standard error are no end. Should it not start after all, this is how it has ended.
        $ErrorActionPreference = 'Continue'
        $global:LASTEXITCODE = 1
        # Not in a function: what it says would be the function's value, and no more the screen's.
        & $program @arguments
        $code = $LASTEXITCODE
    } finally {
        $env:GANGWAY_BASE_URL = $variable
        Remove-Item -LiteralPath (Split-Path -Parent $program) -Recurse -Force -ErrorAction SilentlyContinue
    }
    if ($code -ne 0) {
        # Whoever pasted the line has this window, which `exit` would close.
        if ($Script) { exit $code }
        throw "${app}: the installer ended with $code"
    }
} -Given $args -Script $PSCommandPath
}
