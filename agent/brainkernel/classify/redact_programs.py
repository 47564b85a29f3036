"""The programs whose command lines carry secrets under names that do not say so: `-p`, `-u user:pass`, the third word.

One line per family: the programs, then clauses separated by "|", each a word and its arguments:

    value -p         the option's value, attached or the next argument, is a secret
    attached -p      only when attached (mysql -pSECRET)
    colon -u         USER:SECRET; "colon first": the first plain word is [DOMAIN/]USER:SECRET[@HOST]
    percent, comma   USER%SECRET and USER,SECRET
    at -h            SECRET@HOST
    slash any        any plain word may be USER/SECRET[@DB]
    source -pass     pass:SECRET, but env:NAME, file:PATH
    header, cookie   the value is an HTTP header; cookies, unless it names a file
    literal          NAME=SECRET;  literal_data: a list with data=SECRET
    slashopt p       /p:SECRET
    flag, plain      takes no value here; its value is no secret here
    takes -x         takes a value that is no secret (for counting plain words)
    word 2,5         these plain words (-1: the last) are secrets
    after X:1,2      these plain words after the word X are
    all put          every value of NAME=SECRET after this word;  pairs create: NAME SECRET by turns
    prefix >@SETUSER  what follows this sign in a plain word
    last bearer      the last plain word, if one before begins with this
    bundle kLs       letters that may stand before one of its options in one argument (-sku)

"@WORD" behind an argument: only if WORD is the program's name or one of the words of its command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

_TABLE = """
mysql mariadb mysqldump mariadb-dump mysqladmin mariadb-admin mysqlimport mariadb-import mysqlcheck mariadb-check mysqlshow mysqlslap mysqlbinlog mariadb-binlog mysqlpump mysql_upgrade mysqlsh mariadb-backup mariabackup xtrabackup innobackupex pt-query-digest pt-archiver | attached -p | flag --password | takes -u -h -P -S -D --user --host --port | after password:1
mycli mydumper myloader innotop mytop | value -p
psql pg_dump pg_dumpall pg_restore createdb dropdb createuser dropuser vacuumdb reindexdb clusterdb pg_basebackup pg_receivewal pgbench pgcli | flag --password -W
mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat mongotop mongofiles | value -p --sslPEMKeyPassword
redis-cli valkey-cli keydb-cli redis-benchmark valkey-benchmark memtier_benchmark | value -a --pass | after auth:-1 AUTH:-1 AUTH:1@MIGRATE requirepass:1 masterauth:1 | prefix >@SETUSER <@SETUSER #@SETUSER >@setuser <@setuser | takes -h -p -n -u -r -i | flag --askpass
memcstat memccapable memccat | value -p --password
influx influx_inspect | value -password --password -t | takes -host -port -u
cqlsh cqlsh.py cassandra-stress nodetool cypher-shell neo4j-shell hdbsql arangosh couchbase-cli cbbackupmgr cbq beeline mclient vsql nzsql ysqlsh dsbulk | value -p -pw -w | value -P@cbq
neo4j-admin | after set-initial-password:1
sqlcmd bcp osql tsql sqsh fisql freebcp defncopy mssql-cli mssql-scripter | value -P
isql iusql isql-vt | word 3 | value -P
isql-fb gbak gfix gsec nbackup | value -pas -password -pa -pw
sqlplus sqlldr exp imp expdp impdp sqlcl rman adrci wrap | slash any
db2 | after using:1
curl | colon -u --user -U --proxy-user -E --cert --proxy-cert --ftp-account | header -H --header --proxy-header | cookie -b --cookie | value --oauth2-bearer --pass --proxy-pass --tlspassword --proxy-tlspassword | bundle sSfkLvIiNgaOGjJlnqR#0123469 | takes -o -w -X -d -A -e -T -m -x
http https xh xhs httpie curlie ht | colon -a --auth
wget wget2 axel aria2c | header --header | value --password --http-password --ftp-password --proxy-password --http-passwd --ftp-passwd --rpc-secret
ab siege wrk hey vegeta bombardier k6 oha autocannon artillery h2load nghttp websocat wscat grpcurl evans ffuf wfuzz gobuster feroxbuster nikto nuclei httpx sqlmap wpscan arjun dalfox | header -H --header --headers -rpc-header | cookie -C@ab -b@ffuf -b@wfuzz --cookie --cookies | colon -A@ab -P@ab -a@hey -id --auth --auth-cred --auth-basic
sshpass | value -p | bundle ve
ssh-keygen | value -N -P
puttygen | value --old-passphrase --new-passphrase
plink pscp psftp putty winscp | value -pw
smbclient rpcclient smbget smbcacls smbcquotas smbtree smbspool net wbinfo winexe sharesec pth-smbclient pth-winexe samba-tool wmic | word 2@smbclient | percent -U --user -a --authenticate | after create:2@samba-tool user:2@net | value --newpassword | takes -W -I -p -c -L -t -D -m -T -d -s -l -n -A
smbmap enum4linux enum4linux-ng ldapdomaindump bloodhound-python evil-winrm crackmapexec cme nxc netexec certipy certipy-ad kerbrute bloodyAD windapsearch lsassy donpapi coercer sprayhound | value -p -H@crackmapexec -H@cme -H@nxc -H@netexec -H@evil-winrm --hash --hashes -hashes
hydra medusa ncrack patator crowbar brutespray | value -p --pass
psexec.py wmiexec.py smbexec.py atexec.py dcomexec.py secretsdump.py mssqlclient.py GetUserSPNs.py GetNPUsers.py getTGT.py getST.py lookupsid.py samrdump.py reg.py services.py smbclient.py smbserver.py addcomputer.py ticketer.py ntlmrelayx.py rpcdump.py GetADUsers.py changepasswd.py impacket-psexec impacket-wmiexec impacket-smbexec impacket-secretsdump impacket-getTGT impacket-mssqlclient impacket-GetUserSPNs impacket-smbclient impacket-smbserver impacket-changepasswd impacket-lookupsid impacket-GetNPUsers | value -hashes -aesKey -nthash -password -computer-pass -newpass | colon first
ldapsearch ldapadd ldapmodify ldapdelete ldappasswd ldapwhoami ldapmodrdn ldapcompare ldapexop ldapvi ldbsearch dsconf dsidm ipa-client-install ipa-replica-install ipa-server-install ipa-getkeytab realm | value -w -s@ldappasswd -a@ldappasswd -p@ipa-server-install -a@ipa-server-install -p@ipa-replica-install | bundle xZnvcACMQNLtu
slappasswd | value -s
kadmin kadmin.local kdb5_util addprinc add_principal ank cpw | value -w -pw -P@kdb5_util
openssl | source -passin -passout -pass -password -macopt -kdfopt -pkeyopt -sigopt | value -pwri_password -secretkey -k@enc -K -hmac -psk -srppass -passphrase | value -k@aes-256-cbc -k@des3 | word -1@passwd | takes -salt -in -out -rand -table -c -m -x
gpg gpg2 gpgsm gpg-preset-passphrase gpgtar | value --passphrase -P@gpg-preset-passphrase
zip zipcloak zipnote zipsplit unzip | value -P | bundle erqjuvymTxnolatp0123456789
fcrackzip unar lsar steghide msoffcrypto-tool zuluCrypt-cli | value -p
outguess | value -k
dar | value -K -J
7z 7za 7zr 7zz p7zip rar unrar | attached -p -hp
arj | attached -g
qpdf | after --encrypt:1,2
pdftk | after input_pw:1 owner_pw:1 user_pw:1
pdftotext pdftoppm pdfinfo pdfimages pdftocairo pdftohtml pdftops pdffonts pdfdetach | value -upw -opw
mutool mudraw mupdf pdfcpu | value -p -upw -opw
docker podman nerdctl buildah buildctl skopeo crane regctl oras helm oc docker-compose ctr crictl | value -p@login | colon --creds --src-creds --dest-creds -u@ctr | plain --secret
kubectl microk8s.kubectl oc kubecolor | literal --from-literal | colon --basic-auth | plain --secret
kubeadm k3s rke2 k0s | after create:1@token delete:1@token worker:1@k0s controller:1@k0s | value --token --discovery-token --tls-bootstrap-token --certificate-key
aws aws2 awslocal | after aws_secret_access_key:1 aws_session_token:1 aws_access_key_id:1 | value --secret-string --secret-binary --token-code --value@put-parameter --plaintext@encrypt --session-token --auth-token | plain --secret-id --client-request-token --next-token --starting-token --key
az | value -p@login -p@sp --value@secret --account-key --sas-token -p@create -p@update | plain --secret-id
gcloud gsutil bq | plain --secret | value --password --root-password --access-token
vault bao | word -1@unseal | after login:1 lookup:1@token revoke:1@token renew:1@token unwrap:1 | all put patch write | takes -address -path -mount -method -field -format
consul nomad | value -token -http-token -secret-id -install@keyring -use@keyring -remove@keyring -encrypt
etcd | plain --initial-cluster-token
etcdctl | colon --user | colon first@user
npm yarn pnpm bun | value --otp
pip pip3 twine flit hatch pdm poetry conda mamba gem cargo nuget dotnet mvn gradle gradlew sbt conan vsce ovsx | value -p@upload -p@publish -p@login -p@twine -a@publish -k@push | after pypi-token:1 | takes -r -u
nuget dotnet | value -ApiKey --api-key -k@nuget
gem | value -k --key
mkdir cp install rsync cpio pax mv tar touch git pytest py.test less lpr lp lpstat cancel journalctl systemctl ps pgrep lsof top sudo xxd mpirun mpiexec | flag -p | takes -P -u -U
ccrypt ccencrypt ccdecrypt mcrypt aescrypt | value -K -k -p --key
netlify | value --auth
elasticsearch-users elasticsearch-reset-password | value -p
composer poetry | last http-basic pypi-token github-oauth gitlab-token gitlab-oauth bearer bitbucket-oauth
cargo | after login:1
xfreerdp xfreerdp3 wlfreerdp sdl-freerdp freerdp mstsc wfreerdp | value -p | slashopt p password pass gp gateway-password pth reconnect-cookie
rdesktop | value -p
x11vnc vncserver Xvnc tightvncserver tigervncserver wayvnc | value -passwd -viewpasswd -storepasswd
vncdo vncdotool | value -p --password
mosquitto_pub mosquitto_sub mosquitto_rr mqtt mqttx | value -P -pw --pw
mosquitto_passwd htpasswd | word -1@-b
zkCli.sh zkCli | after digest:1
emqx_ctl emqx | after add:2
rabbitmqctl rabbitmqadmin rabbitmq-diagnostics | after add_user:2 change_password:2 authenticate_user:2 | value -p@rabbitmqadmin
useradd usermod adduser groupadd groupmod | value -p --password
mkpasswd | word 1 | takes -m -S -R -P --method --salt --rounds
zmprov | after ca:2 sp:2 createAccount:2 setPassword:2
register_new_matrix_user hash_password | value -p -k@register_new_matrix_user
odoo odoo-bin | value -w
doveadm dovecotpw | value -p | after test:2 login:2@auth
testsaslauthd imtest smtptest pop3test | value -p@testsaslauthd -w
caddy | value -p --plaintext
wpa_passphrase | word 2
nmcli | after password:1 psk:1 wep-key0:1 secrets:1 private-key:1 pin:1 private-key-password:1
iwctl iwconfig iw | value --passphrase -P | after key:1 enc:1
create_ap | word 4
lftp open ncftp ncftpput ncftpget ncftpls | comma -u --user | value -p@ncftp -p@ncftpput -p@ncftpget --password
rclone | after obscure:1 | all create update | pairs create update
mc mcli | after set:3,4 add:3,4 | takes --api
s3cmd s4cmd swift openstack b2 | value -K@swift --os-password --key@swift | after authorize-account:2 account-authorize:2 authorize:2
restic borg borgmatic kopia | plain -p
pk12util | value -W -K
nvme | value -S -C -s@gen-dhchap-key
hdparm | value --security-set-pass --security-unlock --security-erase --security-erase-enhanced --security-disable
sedutil-cli | word -2
ecryptfs-wrap-passphrase ecryptfs-rewrap-passphrase ecryptfs-unwrap-passphrase | word 2,3
keyctl | after update:2
eapol_test | value -s
airdecap-ng airtun-ng | value -w -k -p
ptunnel ptunnel-ng | value -x -P@ptunnel-ng
udp2raw speederv2 | value -k --key
luseradd lusermod lpasswd | value -P -p
makepasswd | value --string
keytool jarsigner signtool osslsigncode | value /p -storepass -keypass -srcstorepass -deststorepass -srckeypass -destkeypass -new -pass -readpass
apksigner | source --ks-pass --key-pass
security | value -p -P -w
ansible-vault | after encrypt_string:1 | takes --name -n --vault-id --stdin-name
pulumi | word -1@--secret | flag --secret
sops | value --set
gh glab tea | value -b@secret --body@secret | flag --with-token
vercel netclient | value -t
act | literal -s --secret
doctl flyctl fly hcloud codecov ntfy openai | value -t@doctl -t@fly -t@flyctl -t@codecov -p@login --access-token -k@openai -k@ntfy | colon -u@ntfy
ibmcloud airflow superset flask | value -p@login -p@create -p@create-admin
cf | after auth:2 | value -p@login
gitlab-runner | value -r -t --registration-token --token
ngrok | after authtoken:1 add-authtoken:1
wandb | after login:1 | takes --host
snyk | after auth:1
flux tkn | flag --token-auth
travis | after encrypt:1
dvc | after password:1 secret_access_key:1 access_key_id:1 sas_token:1 account_key:1 client_secret:1 token:1
jenkins-cli jenkins-cli.jar | colon -auth
agent.jar slave.jar remoting.jar swarm-client.jar | value -secret -password
svn hg cvs p4 | value --password -P@p4
virsh | after secret-set-value:2
virt-customize virt-builder virt-sysprep | source --root-password --password
vmrun esxcli ovftool VBoxManage vboxmanage | value -gp -vp -pw@vmrun -p@esxcli
snmpget snmpwalk snmpset snmpbulkwalk snmpbulkget snmpgetnext snmptrap snmpinform snmpdelta snmpusm snmpvacm snmptable snmpstatus snmpdf onesixtyone | value -c -A -X | after passwd:1,2@snmpusm
ip | after enc:2@xfrm auth:2@xfrm auth-trunc:2@xfrm aead:2@xfrm key:2@macsec
tcpdump | value -E
nsupdate knsupdate dig kdig delv rndc | colon -y
ipmitool ipmiutil ipmi-power ipmipower ipmi-sensors ipmi-chassis ipmiconsole bmc-info racadm ilorest fence_ipmilan fence_idrac fence_ilo fence_apc fence_drac5 | value -P -p --password | value -y@ipmitool -k@ipmitool -k@ipmipower | plain -p@ipmitool -P@ipmi-power | after password:2
SMCIPMITool | word 3
radtest | word 2,5
radclient | word 3
pppd wvdial chat | after password:1
openconnect openvpn vpnc openfortivpn | value -p@openconnect -p@openfortivpn --cookie -C@openconnect --token-secret --password | plain --auth-user-pass
blat | value -pw
sipp | value -ap
swaks sendemail sendEmail mailx s-nail mailsend imapsync | value -ap -xp --password1 --password2 -pass
ffmpeg ffplay ffprobe | value -decryption_key -encryption_key -cryptokey | header -headers
yt-dlp youtube-dl streamlink gallery-dl spotifyd librespot svtplay-dl you-get | value -p --password --video-password --ap-password -2 --twofactor | header --add-header --add-headers --http-header | plain -p@streamlink | colon --http-proxy-auth
wkhtmltopdf wkhtmltoimage | after --cookie:2 --custom-header:2@Authorization
agent-auth wazuh-agentd | value -P
mpv | header --http-header-fields
mpc ncmpcpp | at -h --host
transmission-remote | colon -n --auth
amulecmd | value -P --password
steamcmd steam | after +login:2,3
irssi sendxmpp sic ii | value -w -p@sendxmpp -k
oathtool totp | word 1 | takes -d -s -w -N -c -S --digits --window --now --counter
ykman yubico-piv-tool pkcs11-tool pkcs15-tool pkcs15-init softhsm2-util tpm2_create tpm2_createprimary tpm2_load tpm2_unseal tpm2_nvread tpm2_nvwrite tpm2_changeauth | value -P -p --pin --so-pin --new-pin --puk --new-puk -n@ykman -m@ykman --management-key -k@yubico-piv-tool -K@yubico-piv-tool | plain -P@pkcs11-tool | takes -a -s
veracrypt truecrypt | value -p --password --new-password
bw op lpass rbw | word -1@unlock | after login:2@bw | value --session
bitcoin-cli litecoin-cli dogecoin-cli dash-cli | after walletpassphrase:1 walletpassphrasechange:1,2 importprivkey:1 encryptwallet:1 signmessagewithprivkey:1
electrum monero-wallet-cli cast forge | value -W --private-key --mnemonic
grafana-cli grafana grafana-server | after reset-admin-password:1
bteq | comma -u
sqlpackage | slashopt tp sp
knife | value -P
ossutil ossutil64 obsutil | value -k
qshell | after account:1,2
mega-login | word 2
expressvpn warp-cli | after activate:1 license:1 set-license:1
pro ua | after attach:1
SUSEConnect transactional-update | value -r@SUSEConnect --regcode
microsocks brook | value -P@microsocks -p@brook
xray | value -i@x25519
govc | colon -l
dscl | after -passwd:2
aql asadm asinfo asbackup asrestore | value -P
wpa_cli hostapd_cli | after wps_pin:2 new_password:2 otp:2 pin:2 passphrase:2 psk:1 password:1 wep_key0:1 sae_password:1 private_key_passwd:1
qemu-system-x86_64 qemu-system-aarch64 qemu-img qemu-nbd kvm qemu | literal_data --object -object
anydesk rustdesk teamviewer | after passwd:1 --password:1 --set-password:1
pwsh powershell | value -Password
kpasswd kinit | value --password
drush | after upwd:2
ttyd gotty filebrowser rclone-serve wetty | colon -c --credential | after add:2@users | value -p@users
splunk | colon -auth | value -password
mcrcon rcon rcon-cli rconclt | value -p -P
ss-local ss-server ss-redir ss-tunnel sslocal ssserver ssmanager shadowsocks-libev | value -k
prosodyctl | after register:3
ejabberdctl | after register:3 change_password:3 check_password:3
turnadmin | value -p
upscmd upsrw | value -p
check_mysql check_mysql_query check_pgsql check_ldap check_http check_snmp check_imap check_mssql check_oracle check_ftp | value -p@check_mysql -p@check_mysql_query -p@check_pgsql -P@check_ldap -C@check_snmp -p@check_mssql | colon -a@check_http
net-snmp-create-v3-user net-snmp-config | value -A -X -a -x
deluge-console | after connect:3
jboss-cli.sh jboss-cli kcadm.sh asadmin wlst.sh | value -p@jboss-cli -p@jboss-cli.sh --password
mullvad | after login:1 create:1@account
sipsak | value -a
calibredb calibre-server | value --password
"""

# Programs that run the words after them: their own options and their operands come first.
WRAPPERS = frozenset(
    "sudo doas env nice ionice nohup timeout time stdbuf setsid chrt taskset xargs watch strace ltrace script systemd-run unshare nsenter flock su runuser "
    "runcon chroot gosu su-exec setpriv capsh tini dumb-init firejail proxychains proxychains4 torsocks torify parallel exec command builtin busybox docker "
    "podman nerdctl kubectl oc lxc lxc-attach machinectl ssh sshpass autossh mosh pct crictl ctr docker-compose podman-compose flatpak snap nix-shell poetry pipenv uv npx "
    "pnpm yarn npm bundle rbenv pyenv direnv dotenv aws-vault op chamber doppler infisical cgexec numactl prlimit unbuffer expect tmux screen at batch catchsegv valgrind perf gdb "
    "heaptrack faketime fakeroot eatmydata caffeinate systemd-inhibit dbus-run-session dbus-launch xvfb-run cpulimit then do else if while until ! { eval".split()
)  # fmt: skip
SHELLS = frozenset("sh bash dash zsh ksh ash mksh fish rbash busybox".split())
# Programs that read a secret from their input: what an echo before them prints is one.
READERS = frozenset(
    "chpasswd passwd kinit kpasswd cryptsetup smbpasswd vncpasswd tigervncpasswd saslpasswd2 secret-tool realm adcli chgpasswd newusers pdbedit wpa_passphrase mkpasswd "
    "ecryptfs-add-passphrase ecryptfs-unwrap-passphrase gpg-preset-passphrase keyctl systemd-ask-password systemd-creds systemd-cryptenroll luksmeta clevis slappasswd su "
    "keepassxc-cli bw op lpass rbw argon2 ktutil kdb5_util kubeseal makepasswd cracklib-check pwscore pwqcheck xvncviewer vncviewer xtightvncviewer kwallet-query anydesk security ssh-add ldappasswd encfs gocryptfs mount.ecryptfs sasldbpasswd zfs pass gopass grub-mkpasswd-pbkdf2".split()
)  # fmt: skip


@dataclass(slots=True)
class Conventions:
    """How one program takes secrets: for each clause its arguments, each with the word it is bound to ("": none)."""

    clauses: dict[str, dict[str, str]] = field(default_factory=dict)

    def holds(self, clause: str, argument: str, present: frozenset[str]) -> bool:
        """Whether a clause has this argument on a command line with these words."""
        condition = self.clauses.get(clause, {}).get(argument)
        return condition is not None and (condition == "" or any(c in present for c in condition.split("@")))

    def of(self, clause: str, present: frozenset[str]) -> list[str]:
        """The arguments of a clause that apply to a command line with these words."""
        arguments = self.clauses.get(clause)
        return [a for a in arguments if self.holds(clause, a, present)] if arguments else []


NO_CONVENTIONS = Conventions()


@cache
def _table() -> dict[str, Conventions]:
    found: dict[str, Conventions] = {}
    for line in _TABLE.strip().splitlines():
        programs, *clauses = line.split("|")
        for program in programs.split():
            conventions = found.setdefault(program, Conventions())
            for clause in clauses:
                name, *arguments = clause.split()
                known = conventions.clauses.setdefault(name, {})
                for argument in arguments:
                    bare, _, condition = argument.partition("@")
                    known[bare] = f"{known[bare]}@{condition}" if known.get(bare) and condition else condition
    return found


def conventions_of(program: str) -> Conventions | None:
    """How a program, named by the last part of its path, takes secrets; None if it is not in the table."""
    return _table().get(program)
