/* Pulls the plug of a file system: what was not flushed is gone, and nothing reaches the disk any
 * more. Tells how long LOG was right before. Usage: power MOUNTPOINT LOG */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define SHUTDOWN _IOR('X', 125, uint32_t) /* ext4 and xfs */
#define NO_LOG_FLUSH 2

int main(int count, char **words) {
    uint32_t how = NO_LOG_FLUSH;
    struct stat log;
    int folder = count == 3 ? open(words[1], O_RDONLY) : -1;
    if (folder < 0 || stat(words[2], &log) != 0 || ioctl(folder, SHUTDOWN, &how) != 0) {
        perror("power");
        return 1;
    }
    printf("%lld\n", (long long)log.st_size);
    return 0;
}
