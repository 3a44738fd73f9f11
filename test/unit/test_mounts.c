/* test_mounts.c: mounts.h: mountinfo, choice of mounts, df. Each test states a rule of the field. */
#include "unit.h"

#include "core/mounts.h"

static struct chosen_mount chosen[MAX_MOUNTS];

static bool
is_chosen(int n, const char *path)
{
	for (int i = 0; i < n; i++)
		if (strcmp(chosen[i].path, path) == 0)
			return true;
	return false;
}

static void
pseudo_filesystems_and_system_paths_are_left_out(void **state)
{
	int n = choose_mounts(slice_of("22 27 0:21 / /proc rw - proc proc rw\n"
								   "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
								   "30 27 8:17 / /srv rw shared:5 master:2 - xfs /dev/sdb1 rw\n"
								   "31 27 0:50 / /run/user/1000 rw - tmpfs tmpfs rw\n"
								   "32 27 8:33 / /var/lib/docker rw - ext4 /dev/sdc1 rw\n"
								   "33 27 0:60 / /mnt/auto rw - autofs systemd-1 rw\n"
								   "34 27 8:49 / /snapshot rw - ext4 /dev/sdd1 rw\n"
								   "35 27 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro\n"
								   "36 27 0:70 / /backup rw - nfs4 nas:/x rw\n"),
						  chosen, MAX_MOUNTS);
	assert_int_equal(n, 4);
	assert_true(is_chosen(n, "/"));
	assert_true(is_chosen(n, "/srv"));
	assert_true(is_chosen(n, "/snapshot"));
	assert_true(is_chosen(n, "/backup"));
}

static void
the_root_of_a_container_is_reported(void **state)
{
	int n = choose_mounts(
		slice_of("1 0 0:5 / / rw - overlay overlay rw,lowerdir=/a\n2 1 0:6 / /x rw - overlay overlay rw\n"),
		chosen, MAX_MOUNTS);
	assert_int_equal(n, 1);
	assert_string_equal(chosen[0].type, "overlay");
}

static void
the_last_mount_on_a_path_and_the_shortest_path_of_a_device(void **state)
{
	int n = choose_mounts(slice_of("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
								   "2 1 8:1 /home /srv/home rw - ext4 /dev/sda1 rw\n" /* bind */
								   "3 1 8:17 / /data rw - ext4 /dev/sdb1 rw\n"
								   "4 1 8:33 / /data rw - xfs /dev/sdc1 rw\n" /* over it */
								   "5 1 0:30 /a /pool/a rw - btrfs /dev/sdd rw\n"
								   "6 1 0:30 /b /pool/b rw - btrfs /dev/sdd rw\n"),
						  chosen, MAX_MOUNTS);
	assert_int_equal(n, 3);
	assert_true(is_chosen(n, "/"));
	assert_true(is_chosen(n, "/data"));
	assert_true(is_chosen(n, "/pool/a"));
	for (int i = 0; i < n; i++)
		if (strcmp(chosen[i].path, "/data") == 0)
			assert_string_equal(chosen[i].type, "xfs");
}

static void
escapes_and_bytes_that_are_no_utf8(void **state)
{
	int n = choose_mounts(slice_of("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
								   "2 1 8:2 / /mnt/my\\040disk\\011\\134x rw - ext4 /dev/sda2 rw\n"
								   "3 1 8:3 / /mnt/\xe4\xff rw - ext4 /dev/sda3 rw\n"),
						  chosen, MAX_MOUNTS);
	assert_int_equal(n, 3);
	assert_true(is_chosen(n, "/mnt/my disk\t\\x"));
	assert_true(is_chosen(n, "/mnt/\xe4\xff"));
}

static void
unescaping(void **state)
{
	char out[8];

	assert_true(mount_unescape(slice_of("a\\0b"), out, sizeof out)); /* no escape: stays */
	assert_string_equal(out, "a\\0b");
	assert_true(mount_unescape(slice_of("\\777"), out, sizeof out)); /* more than a byte: none either */
	assert_string_equal(out, "\\777");
	assert_false(mount_unescape(slice_of("a\\000b"), out, sizeof out));
	assert_string_equal(out, "");
	assert_false(mount_unescape(slice_of("12345678"), out, sizeof out));
}

static void
broken_lines_cost_only_themselves(void **state)
{
	int n = choose_mounts(slice_of("\n1 2\n3 1 8:1 / /x rw no separator ext4 y rw\n9 1 8:1 / / rw - ext4\n"),
						  chosen, MAX_MOUNTS);
	assert_int_equal(n, 1);
	assert_string_equal(chosen[0].path, "/");
	assert_int_equal(
		choose_mounts(slice_of("1 0 8:1 / / rw - ext4 a rw\n2 0 8:2 / /b rw - ext4 b rw\n"), chosen, 1), 1);
}

static void
numbers_as_df_has_them(void **state)
{
	struct fs_numbers fs = {4096, 1000, 500, 450, 0, 0, 0};

	assert_near(fs_used_percent(&fs), 53); /* 52.6 */
	assert_unknown(fs_inode_percent(&fs)); /* btrfs, vfat */
	fs.available = 500;
	assert_near(fs_used_percent(&fs), 50);
	fs.free = 0;
	fs.available = -5;
	assert_near(fs_used_percent(&fs), 100);
	fs.blocks = 0;
	assert_unknown(fs_used_percent(&fs));
	assert_unknown(fs_used_bytes(&fs));
	assert_unknown(fs_used_percent(&fs_unknown));
	assert_unknown(fs_inode_percent(&fs_unknown));
}

static void
the_text_that_stands_in_for_statvfs(void **state)
{
	struct slice text = slice_of("# mountpoint frsize blocks bfree bavail files ffree favail\n"
								 "/my\\040disk 1024 10 5 4 3 2 1\n/ 4096 100 50 40 30 20 10\n/short 1 2\n");
	struct fs_numbers fs;

	assert_true(parse_statvfs_line(text, "/", &fs));
	assert_int_equal(fs.fragment_size, 4096);
	assert_int_equal(fs.files_available, 10);
	assert_true(parse_statvfs_line(text, "/my disk", &fs));
	assert_int_equal(fs.blocks, 10);
	assert_false(parse_statvfs_line(text, "/short", &fs));
	assert_false(parse_statvfs_line(text, "/none", &fs));
}

static void
what_is_mounted_and_whether_it_can_be_written(void **state)
{
	int n = choose_mounts(slice_of("1 0 8:1 / / rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
								   "2 1 8:2 / /a ro,noatime - ext4 /dev/sda2 rw\n"
								   "3 1 8:3 / /b rw - ext4 /dev/sda3 ro\n"
								   "4 1 8:4 / /c rw - ext4 /dev/sda4 rw,emergency_ro\n"
								   "5 1 0:9 / /d rw - nfs4 nas:/x\n"),
						  chosen, MAX_MOUNTS);
	static const bool readonly[] = {false, true, true, true, false};

	assert_int_equal(n, 5);
	for (int i = 0; i < n; i++)
		assert_int_equal(chosen[i].readonly, readonly[i]);
	assert_string_equal(chosen[0].source, "/dev/sda1");
	assert_string_equal(chosen[4].source, "nas:/x");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_mounted_and_whether_it_can_be_written),
		cmocka_unit_test(pseudo_filesystems_and_system_paths_are_left_out),
		cmocka_unit_test(the_root_of_a_container_is_reported),
		cmocka_unit_test(the_last_mount_on_a_path_and_the_shortest_path_of_a_device),
		cmocka_unit_test(escapes_and_bytes_that_are_no_utf8),
		cmocka_unit_test(unescaping),
		cmocka_unit_test(broken_lines_cost_only_themselves),
		cmocka_unit_test(numbers_as_df_has_them),
		cmocka_unit_test(the_text_that_stands_in_for_statvfs),
	};
	return TESTS(tests);
}
